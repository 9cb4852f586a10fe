"""Units of measure and counted nouns behind a value."""

import re
from dataclasses import dataclass
from fractions import Fraction

from fulmen.rewards.math.nodes import Unit

_TABLE = """
length 1 m meter meters metre metres
length 1/100 cm centimeter centimeters centimetre centimetres
length 1/1000 mm millimeter millimeters millimetre millimetres
length 1/10 dm decimeter decimeters decimetre decimetres
length 1000 km kilometer kilometers kilometre kilometres
length 127/5000 in inch inches
length 381/1250 ft foot feet
length 1143/1250 yd yard yards
length 201168/125 mi mile miles
time 1 s sec secs second seconds
time 60 min mins minute minutes
time 3600 h hr hrs hour hours
time 86400 day days
time 604800 week weeks
month 1 month months
month 12 year years yr yrs
mass 1 g gram grams
mass 1000 kg kilogram kilograms
mass 1/1000 mg milligram milligrams
mass 45359237/100000 lb lbs pound pounds
mass 45359237/1600000 oz ounce ounces
mass 1000000 ton tons tonne tonnes
volume 1 L l liter liters litre litres
volume 1/1000 mL ml milliliter milliliters millilitre millilitres
volume 473176473/125000000 gallon gallons gal
volume 473176473/500000000 quart quarts
volume 473176473/1000000000 pint pints
volume 473176473/2000000000 cup cups
money 1 dollar dollars usd USD
money 1/100 cent cents
pound 1 £
euro 1 € euro euros
yuan 1 ¥ yuan
angle 1 degree degrees ° deg
angle 1/60 arcminute arcminutes
radian 1 radian radians rad
percent 1 % percent percents percentage
celsius 1 celsius
fahrenheit 1 fahrenheit
kelvin 1 K kelvin
energy 1 J joule joules
force 1 N newton newtons
power 1 W watt watts
current 1 A ampere amperes amp amps
voltage 1 V volt volts
frequency 1 Hz hertz
amount 1 mol mole moles
any 1 unit units
"""
_BASE: dict[str, tuple[str, Fraction]] = {
    word: (line.split()[0], Fraction(line.split()[1]))
    for line in _TABLE.strip().splitlines()
    for word in line.split()[2:]
}
_SPEEDS = {"mph": "mi/h", "kph": "km/h", "kmh": "km/h", "fps": "ft/s"}
MULTIPLIERS = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
"""Words behind a number that multiply it."""
RAW_UNITS = {word for word in _BASE if len(word) > 1 and word.isascii() and word != "in"} | set(_SPEEDS)
"""Units that are read as such outside of \\text."""
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
# A noun is dropped from "12 items"; these words are no nouns and may change the value.
_NO_NOUN_WORDS = """
a about above add after all almost also an and answer any approx approximate approximately are around as at base
before below between billions both but by cannot correct could cubed degree divided does double doubled dozens eight
eighth eighths eighty either eleven else equal equals even every exact exactly except false few fewer fifth fifths
fifty five fold for forty four fourth fourths from greater half halves has hence hundreds hundredth hundredths if
impossible in incorrect infinite infinitely infinity instead into is it just less like many maximum maybe mean
millions minimum minus mod modulo more most multiplied negative neither never nine ninth ninths no none nor not
nothing odd of off on one only or other otherwise out over per perhaps pi plus point positive possibly power probably
quarter quarters raised rather remainder root roughly same seven seventh sevenths should since six sixth sixths sixty
so some something squared subtract sum ten tens tenth tenths than that the then therefore third thirds thirty this
thousands three through till times to together total trillions triple tripled true twelve twenty twice two undefined
under unknown unless unlike until up versus vs wait was were whatever when where which while will with within without
would wrong yes zero
"""
_NO_NOUNS = frozenset(_NO_NOUN_WORDS.split())
# Chinese numerals, multipliers and connectives: 5万 is not 5.
_NO_NOUN_SIGNS = frozenset(
    "〇零一二两三四五六七八九十百千万亿兆半倍分之负非不无没或和与及至到余多少约近超过加减乘除点成折错"
)
_FILLERS = frozenset({"different", "distinct", "possible", "whole", "such"})
MAX_NOUN_WORDS = 3
MAX_PARTS = 3
"""Units in a product of units."""


def read_unit(words: list[str]) -> Unit | None:
    """Returns the unit that words such as `["km", "/", "h"]`, `["square", "units"]` or `["apples"]` name, or None."""
    words = [part for word in words for part in _SPEEDS.get(word, word).replace("/", " / ").split()]
    measured = _read_measure(words)
    if measured is not None:
        return measured
    words = [word for word in words if word not in _FILLERS]
    is_noun = 0 < len(words) <= MAX_NOUN_WORDS and all(map(_is_noun, words))
    if not is_noun:
        return None
    return Unit(dimensions=((" ".join(_singular(word) for word in words), 1),))


def _is_noun(word: str) -> bool:
    """Returns whether a word may be what is counted: a lower-case English word, or Chinese, and no number or link."""
    if word in _NO_NOUNS or word in MULTIPLIERS or _NO_NOUN_SIGNS & set(word):
        return False
    return re.fullmatch(r"[a-z][a-z'-]+|[\u4e00-\u9fff]{1,4}", word) is not None


def _read_measure(words: list[str]) -> Unit | None:
    """Returns the product of known units that the words name, or None."""
    parts: list[_Part] = []
    sign, power = 1, 1
    words = [word.rstrip(".") or word for word in words if word not in ("*", "·")]
    for place, word in enumerate(words):
        after_caret = place > 0 and words[place - 1] == "^"
        known = _BASE.get(word) or _BASE.get(word.lower())
        if word in ("/", "per"):
            sign = -1
        elif parts and word in ("squared", "cubed"):
            parts[-1] = parts[-1].raised(_POWERS[word])
        elif parts and after_caret and word in ("2", "3"):
            parts[-1] = parts[-1].raised(int(word))
        elif word in _POWERS:
            power = _POWERS[word]
        elif known is not None:
            parts.append(_Part(known[0], known[1], sign * power))
            power = 1
        elif word != "^":
            return None
    if not 0 < len(parts) <= MAX_PARTS or power != 1 or words[-1] in ("^", "/", "per"):
        return None
    powers: dict[str, int] = {}
    factor = Fraction(1)
    for part in parts:
        powers[part.dimension] = powers.get(part.dimension, 0) + part.power
        factor *= part.factor**part.power
    return Unit(dimensions=tuple(sorted(powers.items())), factor=factor)


@dataclass(frozen=True, slots=True)
class _Part:
    """One known unit to a power."""

    dimension: str
    factor: Fraction
    power: int

    def raised(self, power: int) -> "_Part":
        """Returns the unit to a further power."""
        return _Part(self.dimension, self.factor, self.power * power)


def _singular(word: str) -> str:
    """Returns a noun without its plural ending."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
