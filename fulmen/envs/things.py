"""Names, objects, places and properties for tasks that tell stories, in English and Chinese.

The two languages are parallel: the entry at an index means the same in both, so a problem can be kept as indices.
Within a list each word is different, and stands for one thing only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fulmen.envs.puzzle import Language


@dataclass(frozen=True, kw_only=True)
class Noun:
    """Something that can be counted."""

    en: str
    plural: str
    """In English."""
    zh: str

    def counted(self, count: int, *, language: Language, unit: str) -> str:
        """Returns `3 apples`, or its Chinese with the measure word `unit`."""
        return f"{count} {self.en if count == 1 else self.plural}" if language == "en" else f"{count}{unit}{self.zh}"

    def many(self, language: Language) -> str:
        """Returns the word for several of them."""
        return self.plural if language == "en" else self.zh


@dataclass(frozen=True, kw_only=True)
class Category:
    """Nouns of one kind; no noun is in two categories."""

    en: str
    """Plural."""
    zh: str
    unit: str
    """Chinese measure word."""
    members: tuple[Noun, ...]

    def many(self, language: Language) -> str:
        """Returns the word for several of them."""
        return self.en if language == "en" else self.zh


def _pairs(text: str) -> Mapping[Language, tuple[str, ...]]:
    """Returns both languages' words of `english=chinese` entries separated by commas."""
    entries = [entry.strip().split("=") for entry in text.split(",")]
    return {"en": tuple(entry[0] for entry in entries), "zh": tuple(entry[1] for entry in entries)}


def _category(en: str, zh: str, unit: str, text: str) -> Category:
    """Returns a category from `singular/plural=chinese` entries; a plural left out is the singular with an s."""
    members = []
    for entry in text.split(","):
        words, chinese = entry.strip().split("=")
        singular, _, plural = words.partition("/")
        members.append(Noun(en=singular, plural=plural or f"{singular}s", zh=chinese))
    return Category(en=en, zh=zh, unit=unit, members=tuple(members))


PEOPLE: Mapping[Language, tuple[str, ...]] = _pairs(
    "Ada=安达, Ben=贝恩, Cora=可兰, Dan=丹阳, Eva=伊文, Finn=费宁, Gina=吉娜, Hugo=雨果, Ida=艾达, Jack=杰克, "
    "Kira=琪朵, Leo=立欧, Mona=莫娜, Nick=尼克, Olga=欧佳, Paul=保罗, Quin=昆亚, Rosa=罗莎, Sam=山姆, "
    "Tina=婷楠, Uma=乌玛, Vic=维克, Wendy=温蒂, Xena=西纳, Yuri=尤里, Zoe=佐依, Alma=阿玛, Boris=波力, "
    "Clara=克蕾, Derek=德锐, Elsa=爱莎, Felix=菲力, Greta=格雷, Henry=亨利, Irene=伊琳, Jonas=乔纳"
)
"""36 given names."""

GOODS: Mapping[Language, tuple[str, ...]] = _pairs(
    "lamp=台灯, kite=风筝, drum=小鼓, clock=闹钟, vase=花瓶, candle=蜡烛, mirror=镜子, basket=篮子, "
    "pillow=枕头, camera=相机, teapot=茶壶, whistle=口哨, ribbon=丝带, compass=指南针, lantern=灯笼, "
    "marble=弹珠, puzzle=拼图, stamp=邮票, umbrella=雨伞, violin=小提琴, notebook=笔记本, necklace=项链, "
    "blanket=毯子, hammer=锤子, globe=地球仪, bottle=瓶子, wallet=钱包, ladder=梯子, brush=刷子, helmet=头盔, "
    "feather=羽毛, magnet=磁铁, pencil=铅笔, rope=绳子, scarf=围巾, spoon=勺子, ticket=车票, anchor=船锚, "
    "flute=长笛, coin=硬币"
)
"""40 things that one can hold."""

PLACES: Mapping[Language, tuple[str, ...]] = _pairs(
    "bakery=面包房, library=图书馆, harbour=港口, school=学校, museum=博物馆, market=集市, temple=寺庙, "
    "theatre=剧院, bank=银行, hospital=医院, castle=城堡, stadium=体育场, pharmacy=药店, mill=磨坊, "
    "forge=铁匠铺, inn=客栈, pump=水泵房, court=法院, prison=监狱, fountain=喷泉, zoo=动物园, circus=马戏团, "
    "airport=机场, garage=车库, barn=谷仓, stable=马厩, well=水井, tower=塔楼, chapel=礼拜堂, lighthouse=灯塔, "
    "cinema=电影院, bridge=石桥, orchard=果园, vineyard=葡萄园, quarry=采石场, brewery=酿酒厂, dairy=奶场, "
    "tannery=皮革坊, bookshop=书店, florist=花店, butcher=肉铺, barber=理发店, tailor=裁缝店, cobbler=鞋匠铺, "
    "jeweller=珠宝店, gallery=画廊, nursery=托儿所, clinic=诊所, laboratory=实验室, observatory=天文台, "
    "greenhouse=温室, warehouse=仓库, factory=工厂, foundry=铸造厂, shipyard=造船厂, dock=码头, cemetery=墓园, "
    "meadow=草地, pond=池塘, cave=山洞, gym=健身房, spa=浴场, embassy=大使馆, archive=档案馆, kiosk=报亭, "
    "arena=竞技场, monument=纪念碑, playground=游乐场"
)
"""68 places of a town."""

CATEGORIES: tuple[Category, ...] = (
    _category(
        "fruits",
        "水果",
        "个",
        "apple=苹果, pear=梨, banana=香蕉, plum=李子, orange=橙子, lemon=柠檬, mango/mangoes=芒果, "
        "peach/peaches=桃子, kiwi=猕猴桃, cherry/cherries=樱桃",
    ),
    _category(
        "vegetables",
        "蔬菜",
        "棵",
        "carrot=胡萝卜, onion=洋葱, cabbage=卷心菜, potato/potatoes=土豆, leek=大葱, turnip=芜菁, "
        "lettuce=生菜, cauliflower=花椰菜, beetroot=甜菜, parsnip=欧防风",
    ),
    _category(
        "musical instruments",
        "乐器",
        "件",
        "violin=小提琴, flute=长笛, guitar=吉他, trumpet=小号, drum=鼓, piano=钢琴, harp=竖琴, "
        "clarinet=单簧管, accordion=手风琴, saxophone=萨克斯",
    ),
    _category(
        "birds",
        "鸟",
        "只",
        "sparrow=麻雀, parrot=鹦鹉, pigeon=鸽子, owl=猫头鹰, duck=鸭子, goose/geese=鹅, swan=天鹅, crow=乌鸦, "
        "canary/canaries=金丝雀, penguin=企鹅",
    ),
    _category(
        "flowers",
        "花",
        "朵",
        "rose=玫瑰, tulip=郁金香, lily/lilies=百合, daisy/daisies=雏菊, sunflower=向日葵, orchid=兰花, "
        "carnation=康乃馨, peony/peonies=牡丹, violet=紫罗兰, daffodil=水仙",
    ),
    _category(
        "garments",
        "衣服",
        "件",
        "shirt=衬衫, coat=大衣, skirt=短裙, sweater=毛衣, jacket=夹克, dress/dresses=连衣裙, vest=背心, "
        "bathrobe=浴袍, raincoat=雨衣, cardigan=开衫",
    ),
    _category(
        "tools",
        "工具",
        "把",
        "hammer=锤子, saw=锯子, screwdriver=螺丝刀, wrench/wrenches=扳手, drill=电钻, chisel=凿子, axe=斧头, "
        "shovel=铁锹, rake=耙子, crowbar=撬棍",
    ),
    _category(
        "pieces of furniture",
        "家具",
        "件",
        "chair=椅子, table=桌子, sofa=沙发, bed=床, wardrobe=衣柜, bookcase=书架, stool=凳子, "
        "nightstand=床头柜, dresser=梳妆台, cupboard=碗柜",
    ),
)
"""8 categories of 10 nouns."""

FEATURES: Mapping[str, Mapping[Language, tuple[str, ...]]] = {
    "colour": _pairs("red=红色, blue=蓝色, green=绿色, yellow=黄色, black=黑色, white=白色"),
    "size": _pairs("tiny=微型, small=小号, medium=中号, large=大号, huge=巨型, slim=细长"),
    "shape": _pairs("cube=方块, ball=圆球, cone=圆锥, ring=圆环, star=星形, pyramid=棱锥"),
    "material": _pairs("wood=木制, glass=玻璃, iron=铁制, paper=纸制, stone=石制, rubber=橡胶"),
    "pattern": _pairs("plain=无纹, striped=条纹, dotted=圆点, checked=格子, wavy=波纹, starred=星纹"),
    "texture": _pairs("smooth=光滑, rough=粗糙, soft=柔软, sticky=黏性, bumpy=凹凸, fuzzy=毛绒"),
    "smell": _pairs("odourless=无味, minty=薄荷味, rosy=玫瑰味, smoky=烟熏味, lemony=柠檬味, spicy=辛香味"),
}
"""7 features of 6 values; no value belongs to two features."""

FEATURE_NAMES: Mapping[Language, Mapping[str, str]] = {
    "en": {name: name for name in FEATURES},
    "zh": dict(zip(FEATURES, ("颜色", "大小", "形状", "材料", "花纹", "手感", "气味"), strict=True)),
}
"""What the features are called."""
