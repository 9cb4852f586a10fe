"""Plain English words of everyday things, for puzzles about letters: lower case, shortest first, then by alphabet."""

_TEXT = """
ox
ant ape arm art ash axe bag bat bay bed bee bin box boy bus cab can cap car cat cow cup day dog ear egg eye fan fig
fly fog fox hat hen ice ink jam jar key lip log map mud net nut oak oil owl pan pen pie pig pin pot rat sea sky son
sun tea toy wax
bird boat bone book boot bowl cake camp card cart cave clay coat coin comb cook corn crab crow dawn deer desk dish
doll door drum duck dust farm fire fish flag foot fork frog game gate gift girl goat gold hair hall hand hawk head
hill hole home hook iron king kite knee lake lamp land leaf lily lion lock mask meat milk mill mind moon mule nail
name neck nest nose oven page palm park path pear pipe plum pond pool pump rain rice ring road rock roof room root
rope rose sack sail salt sand seed ship shoe shop silk skin sled snow soap sock sofa soil soup star step swan tail
tent tile toad town tray tree vase wall wave wind wine wing wolf wood wool worm yard yarn year yolk zone
apple apron arrow beach bread brick broom brush camel candy chain chair chalk chest clock cloud clown crane dance
dream dress eagle earth elbow fence field flame frame fruit ghost giant glass glove goose grape grass heart honey
horse hotel house ivory jewel juice knife lemon light mango melon metal money mouse mouth music night north nurse
ocean olive onion paint paper peach pearl piano plane plant plate queen quilt radio river robin ruler salad scarf
sheep shelf shell shirt shore smoke snail snake spoon stamp steam stick stone stool storm story stove straw sugar
swing sword table thumb tiger tooth torch towel tower train truck uncle voice wagon water whale wheat wheel wrist
zebra
almond anchor autumn bamboo banana barrel basket beetle bottle branch bridge bubble bucket butter button camera
candle canyon carpet carrot castle cellar cheese cherry cinema circle copper corner cotton desert dinner doctor
donkey dragon engine falcon farmer father finger flower forest friend garden garlic guitar hammer harbor helmet
island jacket jungle kettle kitten ladder letter lizard magnet marble market meadow minute mirror monkey mother
napkin needle office orange oyster palace parade parcel parrot peanut pencil pepper pillow planet pocket potato
prince puzzle rabbit recipe ribbon school season shadow silver singer sister spider spring square stable stream
street string summer sunset temple thread throne ticket tomato tongue tunnel turkey turtle valley velvet violin
waiter walnut window winter zipper
airport balcony balloon bicycle blanket blossom cabbage captain caravan chimney coconut compass cottage cricket
crystal curtain cushion diamond dolphin evening factory feather giraffe hamster harvest iceberg journey kitchen
lantern library lobster luggage morning octopus ostrich package painter panther pasture pelican penguin picture
pumpkin pyramid quarter railway rainbow rooster soldier sparrow spinach stadium station student sweater teacher
theater thunder toaster tractor trumpet village volcano weather whistle
backpack bracelet building calendar cucumber daughter elephant envelope festival fountain hospital kangaroo magazine
mattress medicine midnight mountain mushroom necklace neighbor notebook platform raincoat sandwich scissors shoulder
squirrel suitcase treasure triangle umbrella wardrobe workshop
breakfast chocolate fireplace furniture passenger pineapple snowflake sunflower telephone vegetable waterfall
lighthouse photograph restaurant strawberry
grandmother
"""
WORDS: tuple[str, ...] = tuple(_TEXT.split())
"""All of them, 2 to 11 letters long."""


def words_between(*, min_length: int, max_length: int) -> tuple[str, ...]:
    """Returns the words that have so many letters, both bounds included."""
    return tuple(word for word in WORDS if min_length <= len(word) <= max_length)
