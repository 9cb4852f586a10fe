"""Replies judged by hand: for every kind what keeps a constraint and what narrowly breaks it."""

from dataclasses import dataclass

from fulmen.rewards.constraints import (
    Constraint,
    casing,
    data_format,
    format,
    language,
    length,
    letters,
    position,
    punctuation,
    structure,
    words,
)

SEVEN = "The quick brown fox sees a dog."
ELEVEN = "One bird sings here. Two birds sing there. Three birds rest."
PARTS = "One bird sings here.\n\nTwo birds sing there.\n\nThree birds rest."


@dataclass(frozen=True, kw_only=True)
class Case:
    """One constraint with replies on both sides of it."""

    constraint: Constraint
    kept: tuple[str, ...]
    broken: tuple[str, ...]


def case(constraint: Constraint, kept: list[str], broken: list[str]) -> Case:
    return Case(constraint=constraint, kept=tuple(kept), broken=tuple(broken))


LENGTH = [
    case(length.WordsAtLeast(num=7), [SEVEN, "我家门前有小河。"], ["A fox sees a dog here.", "我家门前有河。"]),
    case(
        length.WordsAtMost(num=7),
        [SEVEN, "我家门前有小河。"],
        [SEVEN + " Yes.", "a-fox sees six well-kept dogs here", "我家门前有小河！啊"],
    ),
    case(length.WordsBetween(low=6, high=7), [SEVEN, "A fox sees a dog here."], ["A fox sees a dog.", SEVEN + " Yes."]),
    case(length.WordsExactly(num=7), [SEVEN, "1. " + SEVEN], ["A fox sees a dog here.", SEVEN + " 3.5"]),
    case(length.CharactersBetween(low=20, high=25), [SEVEN], ["The fox sees a big dog.", SEVEN + " Now, yes."]),
    case(
        length.SentencesBetween(low=2, high=3),
        [ELEVEN, "Come here now! Is it so"],
        [SEVEN, ELEVEN + " Yes.", ELEVEN + "\nYes"],
    ),
    case(
        length.SentencesExactly(num=3),
        [ELEVEN, PARTS, "早上好啊。你在哪里？走吧"],
        [ELEVEN + " Yes.", SEVEN, ELEVEN.replace(" Two", "\nSo\nTwo")],
    ),
    case(
        length.SentenceWordsAtMost(num=4),
        [ELEVEN],
        [ELEVEN.replace("sing there", "sing over there"), ELEVEN.replace("here. Two", "here; two")],
    ),
    case(length.SentenceWordsAtLeast(num=3), [ELEVEN], [ELEVEN.replace("birds rest", "rest"), ELEVEN + "\nYes."]),
    case(
        length.ParagraphsExactly(num=3),
        [PARTS, PARTS.replace("\n\n", "\n \n"), PARTS + "\n\n***"],
        [ELEVEN, PARTS + "\n\nYes.", PARTS.replace("\n\nT", "\nT", 1)],
    ),
    case(
        length.ParagraphSentencesExactly(num=2),
        ["One bird sings. Two rest.\n\nThree fly. Four go home."],
        ["One bird sings. Two rest.\n\nThree birds fly.", PARTS],
    ),
    case(length.LinesExactly(num=3), [PARTS, PARTS.replace("\n\n", "\n"), PARTS + "\n---"], [ELEVEN, PARTS + "\nYes"]),
    case(
        length.GrowingSentences(num=3),
        ["Birds sing. Two birds sing. All three birds sing."],
        [ELEVEN, "Birds sing. All birds sing loudly.", "Go. Birds sing. Birds rest. They go home now."],
    ),
]
WORDS = [
    case(
        words.WordsIncluded(words=("fox", "dog")),
        [SEVEN, SEVEN.upper()],
        ["The quick brown foxes see a dog.", "The quick fox sees a d o g.", "The fox sees a \u0441at and a hot-dogs"],
    ),
    case(words.WordsIncluded(words=("小河",)), ["我家门前有小河。"], ["我家门前小小的河。"]),
    case(
        words.WordCountExactly(word="bird", num=2),
        ["A bird sees another Bird up here."],
        ["A bird sees other birds up here.", "A bird bird bird sees you all.", "A bird is up there."],
    ),
    case(
        words.WordsForbidden(words=("and", "very")),
        [SEVEN, "The sandy andes are everywhere."],
        [
            "Cats AND dogs are all here.",
            "Cats \u0430nd dogs are all here.",
            "Cats a\u200bnd dogs are all here.",
            "Cats a**n**d dogs are all here.",
            "Cats ánd dogs are all here.",
            "Cats ａｎｄ dogs are all here.",
        ],
    ),
    case(
        words.WordsForbidden(words=("非常",)),
        ["我家门前有小河。"],
        ["今天我非常高兴。", "今天我非 常高兴。", "今天我非\u200b常高兴。"],
    ),
    case(
        words.WordsInOrder(words=("fox", "dog")),
        [SEVEN],
        ["The dog sees a quick fox.", "The quick fox sees a cat.", "A dog and a fox and a dog."],
    ),
    case(words.WordRepeatsAtMost(num=1), [SEVEN], ["The quick fox sees the dog."]),
    case(
        words.DistinctWordsAtLeast(num=7), [SEVEN], ["The quick fox sees the dog.", "A quick fox sees a dog A a a a a"]
    ),
    case(
        words.LongWordsAtLeast(num=2, letters=5),
        [SEVEN],
        ["The slow brown fox sees a dog.", "A brown brown fox sees a dog"],
    ),
    case(words.WordLettersAtMost(num=5), [SEVEN], ["The quick yellow fox sees a dog."]),
    case(
        words.NumbersAtLeast(num=2),
        ["There are 3 or 42 birds here.", "There are ３ or 3.5 birds here."],
        ["1. There are 3 birds up here.", "There are 3 or 3 birds here.", "There are three or 3rd birds here."],
    ),
    case(
        words.NoDigits(),
        [SEVEN],
        [
            "There are 3 birds up here.",
            "There are ３ birds up here.",
            "There are x² birds up here.",
            "There are ٣ birds up here.",
            "1. The birds are up here.",
        ],
    ),
]
LETTERS = [
    case(
        letters.LettersForbidden(letters=("e", "x")),
        ["A bird sings up high."],
        [
            SEVEN,
            "A bird sings up h\u0435r now.",
            "A bird sings thérè now.",
            "A bird is \U0001d41e up high.",
            "A bird sings up EX",
        ],
    ),
    case(letters.LetterAtLeast(letter="o", num=4), [SEVEN + " O"], [SEVEN, SEVEN + " \u043e"]),
    case(letters.LetterAtMost(letter="o", num=3), [SEVEN], [SEVEN + " Ooo", SEVEN + " \u043e \u043e"]),
    case(
        letters.WordsStartingAtLeast(letter="b", num=2),
        ["Big brown bears sleep in caves."],
        [SEVEN, "The brown Brown fox sees a dog."],
    ),
    case(
        letters.SentencesStartWithLetter(letter="b", num=2),
        ['Birds sing here. "Big ones rest."'],
        ["Birds sing here. Two birds rest.", "Birds sing here all day."],
    ),
    case(
        letters.SentenceStartsDiffer(num=3),
        [ELEVEN],
        [ELEVEN.replace("Three", "One"), "One bird sings. Two birds rest."],
    ),
    case(
        letters.Acrostic(word="cat"),
        ["Cold is the night\nAll sleep\n\nTwo birds sing"],
        [
            "Cold is the night\nTwo birds sing\nAll sleep",
            "Cold is the night\nAll sleep",
            "Cold is the night\nAll sleep\nTwo birds\nSo",
            "\u0421old is the night\nAll sleep\nTwo birds sing",
        ],
    ),
    case(letters.Acrostic(word="春天"), ["春风来了\n天气很好"], ["春风来了天气很好", "天气很好\n春风来了"]),
    case(
        letters.NeighboursDiffer(num=6),
        ["The quick brown fox sees a dog"],
        ["The quick black big fox sees dogs", "The quick fox sees me"],
    ),
]
CASING = [
    case(casing.AllUpper(), [SEVEN.upper()], [SEVEN, SEVEN.upper() + " ok", "我家门前有小河。"]),
    case(casing.AllLower(), [SEVEN.lower()], [SEVEN, "1 2 我家门前小河"]),
    case(casing.TitleCase(), ["The Quick Brown Fox Sees A Dog."], [SEVEN, "The QUICK Brown Fox Sees A Dog."]),
    case(
        casing.UpperWordsBetween(low=2, high=3),
        ["The QUICK brown FOX sees a DOG."],
        ["The QUICK brown fox sees A dog.", "The QUICK BROWN FOX SEES a dog."],
    ),
    case(
        casing.FirstWordUpper(),
        ["ONE bird sings. TWO birds rest there."],
        ["ONE bird sings. Two birds rest there.", "ONE bird SINGS. TWO birds rest there."],
    ),
]
PUNCTUATION = [
    case(
        punctuation.MarkForbidden(mark="comma"),
        [SEVEN],
        ["A fox, it seems, sees a dog.", "狐狸，看见了一只小狗。", "狐狸、小狗都来了。"],
    ),
    case(
        punctuation.MarkForbidden(mark="period"),
        ["A fox sees a dog here!"],
        [SEVEN, "A fox sees a dog… really", "狐狸看见了一只小狗。"],
    ),
    case(
        punctuation.MarkCountExactly(mark="question", num=2),
        ["Who is it? Is it a dog？"],
        ["Who is it? Is it a dog!", "Who is it? Is it a dog??"],
    ),
    case(
        punctuation.SentencesEndWith(mark="exclamation", num=2),
        ["A fox sees a dog! It runs!"],
        ["A fox sees a dog! It runs.", "A fox sees a dog! It runs", "A fox sees a dog!", "A fox sees a dog?! It runs!"],
    ),
    case(
        punctuation.NoPunctuation(),
        ["A fox sees a dog\nIt runs"],
        [SEVEN, "A fox sees a well_known dog", "A fox’s friend is a dog", "A fox sees a dog 🙂"],
    ),
    case(
        punctuation.AsidesExactly(num=1),
        ["A fox (a red one) sees a dog.", "狐狸（红的）看见小狗。"],
        [SEVEN, "A fox () sees a big dog.", "A fox (a (red) one) sees a dog.", "A fox (red) sees a dog (big)."],
    ),
    case(
        punctuation.QuotedWord(word="fox", num=1),
        ['A quick "fox" sees a dog.'],
        [SEVEN, 'A "fox" sees a second fox.', 'A "red fox" sees a dog.'],
    ),
]
FORMAT = [
    case(
        format.BulletsExactly(num=2),
        ["We need:\n- some milk\n* two eggs\n+ tea\n• ice"],
        ["We need it:\n- some milk\n- \n", "We need:\n- milk\n- two eggs\n- tea", "We need:\n-some milk\n-two eggs"],
    ),
    case(
        format.NumberedExactly(num=2),
        ["We need:\n1. some milk\n2. two eggs", "We need:\n1. some milk\n7) no eggs\n2. two eggs"],
        [
            "We need:\n1. some milk\n1. two eggs",
            "We need:\n1. milk\n2. two eggs\n3. tea",
            "We need 1. some milk 2. two eggs",
        ],
    ),
    case(
        format.HeadingsExactly(num=1, marker="##"),
        ["## Birds\nOne bird sings here."],
        ["# Birds\nOne bird sings here.", "##Birds\nOne bird sings here.", "## Birds\nOne bird sings here.\n# More"],
    ),
    case(
        format.BoldAtLeast(num=2),
        ["A **fox** sees a **big dog** here."],
        [
            "A **fox** sees a *dog* here.",
            "A **fox** sees a **Fox** here.",
            "A **fox** and **** see dogs here",
            "A **fox** sees a ** dog ** here",
        ],
    ),
    case(
        format.PlaceholdersAtLeast(num=2),
        ["Dear [name], come on [date] please."],
        [
            "Dear [name], come here to [name].",
            "Dear [name], come here soon [].",
            "Dear [name], see [this](http) thing.",
        ],
    ),
    case(
        format.NoMarkdown(),
        [SEVEN, "2 * 3 is quite the same as 7 - 1."],
        [
            "- A fox sees a dog here",
            "A **fox** sees a dog here",
            "# A fox\nsees a dog here",
            "1. A fox sees a dog here",
            "A `fox` sees a dog here",
            "A fox\n---\nsees a dog here",
        ],
    ),
    case(
        format.CodeBlock(label="text"),
        [f"```text\n{SEVEN}\n```", f"```text\r\n{SEVEN}\r\n```\r\n"],
        [SEVEN, f"```\n{SEVEN}\n```", f"So:\n```text\n{SEVEN}\n```", f"```text\n{SEVEN}\n```\n```text\n{SEVEN}\n```"],
    ),
    case(
        format.Tagged(tag="reply"),
        [f"<reply>\n{SEVEN}\n</reply>"],
        [SEVEN, f"<reply>{SEVEN}", f"<reply>{SEVEN}</reply> ok", f"<reply>{SEVEN}</reply><reply>{SEVEN}</reply>"],
    ),
    case(
        format.PartsExactly(num=2),
        ["One bird sings here.\n***\nTwo rest."],
        [
            "One bird sings here now.",
            "One bird sings here now.\n***\n",
            "One bird sings here. *** Two rest.",
            "One bird\n***\nsings here\n***\nall day",
        ],
    ),
    case(
        format.TableExactly(rows=1, columns=2),
        ["| bird | place |\n| --- | :--- |\n| one lark | here |"],
        [
            "| bird | place |\n| one lark | here |",
            "| bird | place |\n|---|---|\n| one big lark | |",
            "| bird | place |\n|---|---|\n| lark | here | now |",
            "See:\n| bird | place |\n|---|---|\n| lark | here |",
        ],
    ),
    case(
        data_format.JsonObject(keys=("title", "mood")),
        ['{"title": "A fox", "mood": "Quite good"}'],
        [
            '```json\n{"title": "A fox", "mood": "Quite good"}\n```',
            '{"title": "A fox and a dog", "mood": ""}',
            '{"title": "A fox and a dog", "mood": 3}',
            '{"title": "A fox", "mood": "Quite good", "mood": "bad"}',
            '{"title": "A fox here now", "moods": "good"}',
            '[["title", "A fox here"], ["mood", "good"]]',
        ],
    ),
    case(
        data_format.JsonArray(num=2),
        ['["A fox here", "a big dog"]'],
        [
            '["A fox here", "a big dog", ""]',
            '["A fox here and a big dog"]',
            '["A fox is here", "A fox is here"]',
            '{"A fox here": 1, "a big dog": 2}',
            '["A fox here and", {"a big": "dog"}]',
        ],
    ),
]
POSITION = [
    case(
        position.StartsWith(text="Years ago"),
        ["Years ago a fox sang.", "YEARS AGO, a fox sang."],
        ["So years ago a fox sang.", '"Years ago a fox sang."', "Years agony made us sing here."],
    ),
    case(
        position.EndsWith(text="that is all"),
        ["A fox sees a dog. That is all!"],
        ["A fox sees that. That is all right.", "A fox sees what that is at all", "A fox sees a dog. That is all (ok)"],
    ),
    case(position.SameFirstAndLastWord(), ["Foxes see dogs and other foxes."], [SEVEN]),
    case(
        position.WordAtPlace(place=4, word="fox"),
        [SEVEN],
        ["The quick fox sees a dog.", "The very quick brown fox sees dogs."],
    ),
    case(
        position.SentenceHasWord(place=2, word="birds"),
        [ELEVEN],
        [ELEVEN.replace("Two birds", "Two larks"), "One bird sings. All birds."[:15] + " here now for us"],
    ),
    case(
        position.ParagraphStartsWith(place=2, word="two"),
        [PARTS, PARTS.replace("Two", '"Two')],
        [ELEVEN, PARTS.replace("Two", "These two"), PARTS.replace("Two", "Twofold")],
    ),
    case(
        position.WordEverySentence(num=3, word="bird"),
        [ELEVEN.replace("birds", "bird")],
        [ELEVEN, "One bird sings. A bird rests."],
    ),
]
STRUCTURE = [
    case(
        structure.Titled(num=2),
        ["<<My birds>>\nOne bird sings here."],
        [
            "<<Birds>>\nOne bird sings here.",
            "<<My birds>> One bird sings here.",
            "One bird sings.\n<<My birds>>",
            "<<My birds sing all day>>",
        ],
    ),
    case(
        structure.Postscript(opening="P.S.", num=3),
        [SEVEN + "\n\nP.S. Bring some tea."],
        [
            SEVEN + "\n\n附言：快来吧",
            SEVEN + "\n\nP.S. Bring tea.",
            SEVEN + "\nP.S. Bring some tea.",
            "P.S. Bring some good tea.",
            SEVEN + "\n\nP.S. Bring some tea.\n\nBye.",
        ],
    ),
    case(
        structure.Postscript(opening="附言：", num=3),
        ["我家门前有小河。\n\n附言：快来吧"],
        ["我家门前有小河。\n\nP.S. 快来吧", "我家门前有小河。\n\n附言：快来"],
    ),
    case(
        structure.SectionsExactly(num=2, label="Part"),
        ["Part 1\nOne bird sings.\nPart 2\nTwo rest."],
        [
            "Part 1\nOne bird sings.\nPart 3\nTwo rest.",
            "Part 1\nPart 2\nTwo birds rest here.",
            "Part 1: One bird sings.\nPart 2: Two rest.",
            "Part 1\nOne bird.\nPart 2\nTwo.\nPart 3\nThree.",
        ],
    ),
    case(
        structure.Refrain(num=2, text="so it goes"),
        ["A fox sleeps, so it goes.\n\nSo it goes!"],
        [
            "A fox sleeps, so it goes.\n\nIt is over.",
            "A fox sleeps, so it goes.",
            "A fox sleeps and also it goes.\n\nSo it goes.",
        ],
    ),
    case(
        structure.Chain(num=2),
        ["A fox sees dogs. Dogs see all."],
        ["A fox sees dogs. These see all.", "A fox sees dogs again today."],
    ),
    case(
        structure.QuestionAtPlace(place=2),
        ["A fox is here. Is it? Yes."],
        ["A fox is here. It is. Yes?", "Is a fox here? Is it? Yes.", "A fox is here with us."],
    ),
    case(
        structure.Quotation(),
        [f'"{SEVEN}"', f"“{SEVEN}”"],
        [SEVEN, f'"{SEVEN}', '"A "fox" sees a dog here"', f'"{SEVEN}" ok'],
    ),
]
LANGUAGE = [
    case(language.OnlyScript(script="latin"), [SEVEN + " 3"], [SEVEN + " 狗", SEVEN + " дом", "我家门前有小河。"]),
    case(language.OnlyScript(script="han"), ["我家门前有小河。"], ["我家门前有小河 ok", SEVEN]),
    case(
        language.OnlyScript(script="cyrillic"),
        ["Старый кот видит красный дом."],
        [SEVEN, "Старый кот видит красный дом ok"],
    ),
    case(language.ScriptForbidden(script="latin"), ["我家门前有小河。"], ["我家门前有小河 a", "我家门前有小河Ａ"]),
    case(language.ForeignLettersAtLeast(script="han", num=3), [SEVEN + " 好朋友"], [SEVEN + " 朋友", SEVEN]),
    case(
        language.ParagraphScripts(first="latin", second="han"),
        [SEVEN + "\n\n我家门前有小河。"],
        ["我家门前有小河。\n\n" + SEVEN, SEVEN + "\n我家门前有小河。", SEVEN + "\n\n我家门前有小河 ok", SEVEN],
    ),
]
CASES = [*LENGTH, *WORDS, *LETTERS, *CASING, *PUNCTUATION, *FORMAT, *POSITION, *STRUCTURE, *LANGUAGE]
