"""Everyday words: what constraints ask for and what examples are made of.

Example sentences follow a fixed order of parts of speech, so that one of any length can be made; they are grammar,
not sense.
"""

from fulmen.rewards.constraints.reading import Language, Script

FILLER: dict[Script, tuple[tuple[str, ...], ...]] = {
    # The parts of speech of a sentence in turn; after the last, the first again.
    "latin": (
        ("the", "a", "every", "this", "our", "my", "some", "one", "his", "her", "their"),
        (
            *("quiet", "small", "old", "bright", "gentle", "warm", "tall", "odd", "soft", "proud", "cold", "kind"),
            *("slow", "quick", "young", "dusty", "golden", "calm", "busy", "lucky", "dark", "big", "curious", "clever"),
            *("remarkable", "extraordinary", "comfortable", "mysterious", "wonderful", "fragrant", "rich", "shy"),
        ),
        (
            *("teacher", "dog", "cat", "farmer", "child", "fox", "uncle", "baker", "bird", "girl", "boy", "king"),
            *("sailor", "nurse", "owl", "horse", "aunt", "doctor", "poet", "tiger", "frog", "crew", "guest", "pilot"),
            *("grandmother", "photographer", "neighbour", "gardener", "mechanic", "violinist", "zebra", "queen"),
        ),
        (
            *("finds", "sees", "keeps", "paints", "moves", "takes", "loves", "holds", "wants", "makes", "draws"),
            *("brings", "asks", "hides", "joins", "buys", "visits", "builds", "fills", "picks", "tastes", "uses"),
            *("remembers", "understands", "discovers", "photographs", "explores", "lifts", "warms", "catches"),
        ),
        ("the", "a", "another", "that", "its", "your", "each", "no", "any", "such"),
        (
            *("wide", "narrow", "silver", "round", "empty", "green", "heavy", "light", "simple", "sweet", "fresh"),
            *("broken", "red", "blue", "tiny", "long", "short", "rare", "smooth", "plain", "yellow", "high", "thin"),
            *("magnificent", "complicated", "traditional", "unexpected", "beautiful", "deep", "rough", "vivid"),
        ),
        (
            *("boat", "lamp", "song", "path", "stone", "letter", "cup", "door", "bridge", "coat", "story", "map"),
            *("apple", "box", "wheel", "flute", "rope", "book", "key", "bell", "cake", "hat", "jar", "kite", "leaf"),
            *("instrument", "celebration", "discovery", "adventure", "vegetable", "quilt", "ring", "violin", "yarn"),
        ),
        ("near", "under", "behind", "above", "beyond", "along", "inside", "with", "before", "after", "by", "from"),
        ("the", "a", "this", "our", "my", "some", "one", "his", "her", "their", "which", "whose"),
        (
            *("garden", "market", "river", "house", "hill", "forest", "station", "lake", "school", "village", "road"),
            *("castle", "island", "museum", "harbour", "kitchen", "attic", "field", "inn", "valley", "shop", "park"),
            *("laboratory", "neighbourhood", "countryside", "mountain", "observatory", "yard", "zoo", "cabin", "ruin"),
        ),
        ("and", "while", "because", "so", "when", "until", "as", "though", "yet", "but"),
    ),
    "han": (
        ("这", "那", "每", "我", "你", "她", "他"),
        ("安静的", "小", "古老的", "明亮的", "温柔的", "高", "聪明的", "好奇的", "快乐的", "老", "可爱的", "年轻的"),
        (
            "老师",
            "小狗",
            "猫",
            "农民",
            "孩子",
            "医生",
            "姑娘",
            "船长",
            "诗人",
            "邻居",
            "鸟",
            "马",
            "朋友",
            "客人",
            "司机",
        ),
        (
            "发现",
            "看",
            "保管",
            "画",
            "喜欢",
            "拿",
            "寻找",
            "买",
            "修理",
            "带来",
            "想起",
            "听",
            "爱",
            "打开",
            "记住",
            "写",
        ),
        ("了", "着", "过"),
        (
            "宽阔的",
            "银色的",
            "圆",
            "空",
            "绿",
            "沉重的",
            "简单的",
            "新鲜的",
            "红",
            "蓝",
            "长",
            "短",
            "珍贵的",
            "美丽的",
        ),
        (
            "船",
            "灯",
            "歌",
            "石头",
            "信",
            "杯子",
            "门",
            "桥",
            "故事",
            "地图",
            "苹果",
            "箱子",
            "书",
            "钟",
            "风筝",
            "树叶",
        ),
        ("在", "从", "向", "往"),
        (
            "花园",
            "市场",
            "河边",
            "房子",
            "山上",
            "森林",
            "车站",
            "湖",
            "学校",
            "村庄",
            "城堡",
            "海岛",
            "厨房",
            "田野",
            "家",
        ),
        ("里", "旁", "外", "前", "后"),
        ("然后", "又", "而且", "并", "也", "便"),
    ),
    "cyrillic": (
        ("маленький", "старый", "тихий", "весёлый", "большой", "добрый", "новый", "умный"),
        ("учитель", "кот", "сосед", "доктор", "мальчик", "поэт", "гость", "рыбак"),
        ("видит", "любит", "ищет", "рисует", "помнит", "находит", "берёт", "держит"),
        ("красный", "синий", "длинный", "лёгкий", "круглый", "простой", "яркий", "редкий"),
        ("дом", "мост", "сад", "камень", "корабль", "цветок", "стол", "берег", "город"),
        ("и", "но", "потом", "когда", "пока", "если"),
    ),
    "kana": (
        ("ちいさな", "しずかな", "ふるい", "あかるい", "やさしい", "おおきな"),
        ("いぬが", "ねこが", "こどもが", "せんせいが", "ともだちが", "とりが"),
        ("にわで", "かわで", "もりで", "いえで", "みせで", "うみで"),
        ("あかい", "あおい", "まるい", "ながい", "かるい", "あまい"),
        ("はなを", "ほんを", "りんごを", "ふねを", "うたを", "てがみを"),
        ("みつけて", "かって", "もって", "たべて", "よんで", "えがいて"),
    ),
    "hangul": (
        ("작은", "조용한", "오래된", "밝은", "착한", "큰", "젊은"),
        ("선생님이", "고양이가", "아이가", "농부가", "친구가", "의사가", "새가"),
        ("정원에서", "시장에서", "강가에서", "집에서", "학교에서", "숲에서"),
        ("빨간", "파란", "둥근", "무거운", "새로운", "긴", "가벼운"),
        ("사과를", "책을", "편지를", "노래를", "지도를", "꽃을", "배를"),
        ("찾고", "보고", "그리고", "사고", "읽고", "만들고"),
    ),
    "arabic": (
        ("المعلم", "الطفل", "الجار", "الطبيب", "الشاعر", "الصديق", "الفلاح"),
        ("القديم", "الصغير", "الجديد", "الهادئ", "الكبير", "اللطيف"),
        ("يرى", "يحب", "يرسم", "يجد", "يحمل", "يكتب", "يفتح"),
        ("الكتاب", "البيت", "الباب", "القمر", "البحر", "الجسر", "المصباح"),
        ("قرب", "خلف", "فوق", "تحت", "داخل", "أمام"),
        ("الحديقة", "المدرسة", "السوق", "القرية", "الغابة", "المدينة"),
        ("ثم", "لكن", "حين", "بعد"),
    ),
    "greek": (
        ("ο", "ένας", "αυτός", "κάθε"),
        ("μικρός", "παλιός", "ήσυχος", "καλός", "μεγάλος", "νέος"),
        ("δάσκαλος", "γείτονας", "γιατρός", "ποιητής", "φίλος", "ναύτης"),
        ("βλέπει", "αγαπά", "βρίσκει", "κρατά", "ζωγραφίζει", "θυμάται"),
        ("το", "ένα", "αυτό"),
        ("κόκκινο", "όμορφο", "απλό", "παράξενο", "φωτεινό"),
        ("σπίτι", "βιβλίο", "λουλούδι", "τραγούδι", "δέντρο", "πλοίο"),
        ("και", "αλλά", "ενώ", "όταν", "επειδή"),
    ),
}

KEYWORDS: dict[Language, tuple[str, ...]] = {
    "en": (
        *("morning", "window", "journey", "colour", "water", "friend", "music", "paper", "summer", "silence"),
        *("mirror", "pocket", "ladder", "thunder", "candle", "bottle", "winter", "shadow", "compass", "feather"),
        *("lantern", "orchard", "puzzle", "ribbon", "whistle", "basket", "copper", "engine", "velvet", "anchor"),
        *("carpet", "dinner", "island", "jungle", "marble", "needle", "oyster", "planet", "rocket", "saddle"),
    ),
    "zh": (
        *("早晨", "窗户", "旅行", "颜色", "清水", "同学", "音乐", "纸张", "夏天", "宁静"),
        *("镜子", "口袋", "梯子", "雷声", "蜡烛", "瓶子", "冬天", "影子", "指南针", "羽毛"),
        *("灯笼", "果园", "谜语", "丝带", "口哨", "篮子", "铜钱", "机器", "天鹅绒", "船锚"),
        *("地毯", "晚饭", "沙漠", "丛林", "大理石", "针线", "牡蛎", "行星", "火箭", "马鞍"),
    ),
}
COMMON_WORDS: dict[Language, tuple[str, ...]] = {
    # What a reply would use without thinking; good to forbid.
    "en": ("very", "and", "is", "good", "many", "can", "because", "also", "but", "really", "make", "people", "with"),
    "zh": ("因为", "但是", "很多", "非常", "可以", "我们", "所以", "如果", "一个", "已经", "也", "和", "很", "都"),
}
OPENINGS: dict[Language, tuple[str, ...]] = {
    "en": ("Imagine this", "Years ago", "To begin with", "My first thought", "Once again", "Let us start", "Honestly"),
    "zh": ("说起来", "许多年前", "首先", "想象一下", "老实说", "这一次", "谁都知道"),
}
ENDINGS: dict[Language, tuple[str, ...]] = {
    "en": ("that is all for now", "and so it goes", "I hope this helps you", "what more could one ask"),
    "zh": ("就说到这里", "希望对你有用", "故事到此结束", "这样就够了"),
}
ACROSTICS: dict[Language, tuple[str, ...]] = {
    "en": ("cat", "sun", "tea", "home", "rain", "book", "wind", "smile", "bread", "dream", "garden", "bridge"),
    "zh": ("春天", "朋友", "花好月", "山水间", "平安喜乐", "一路顺风", "心想事成", "春夏秋冬", "人山人海里"),
}
LABELS: dict[Language, tuple[str, ...]] = {
    "en": ("Part", "Section", "Chapter", "Step", "Idea", "Scene"),
    "zh": ("部分", "章节", "步骤", "想法", "场景", "要点"),
}
JSON_KEYS: dict[Language, tuple[str, ...]] = {
    "en": ("title", "summary", "reason", "advice", "example", "detail", "author", "mood", "place", "result"),
    "zh": ("标题", "摘要", "原因", "建议", "例子", "细节", "作者", "心情", "地点", "结果"),
}
