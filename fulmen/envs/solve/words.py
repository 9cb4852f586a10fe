"""Words for puzzles with letters: common English ones, and Chinese ones in pinyin without tones, 3 to 7 letters."""

_ENGLISH = """
ant arm axe bag bee box bus cap cat cow cup day dog ear egg elm eye fan fig fox gem hat hen hut ice ink jam jar key kit
leg lid log map mud net nut oak oar owl pan paw pea pen pie pig pot rag rod rug sea sky sun tea tie toy van web yam zoo
acid army baby bank barn bear bell bird boat bone book brick calm camp cave city clay coal coat coin corn crab deer desk
door drum dust echo fern fire fish flag foam fork frog gate gift goat gold hand harp hill horn idea iron kite lake lamp
leaf lime lion mask milk mint moon moss nest oven palm park path pear pine plum pond rain ring road rock root rope rose
salt sand seed ship silk snow soap song star stem sugar swan tent tide tile town tree tuba vase vine wall wave well wind
wing wolf wood wool yard apple beach berry bread bridge candle canoe castle cedar chair cherry cliff cloud clock cotton
cradle crown daisy desert eagle earth engine feather field flame flower flute forest garden ginger glass globe grape
grass hammer harbor heron honey horse house island ivory jacket jungle kettle ladder lemon lentil lizard marble market
meadow melon mirror monkey mountain music needle ocean olive onion orchid paddle paint paper parrot pebble pencil pepper
piano pillow pilot planet potato prairie rabbit raven river rocket saddle salmon shadow silver spider spoon spring stone
storm summer table temple thunder tiger torch tower train tulip tunnel turtle valley velvet violin wagon walnut water
whale wheat window winter zebra
"""
_PINYIN = """
shan shui huo tian yun yue xing feng yu bing hua shu cao lin hai jiang hu chuan che lu qiao men chuang zhuo deng
shubao bi zhi dao wan bei pan guo tang cha mifan jidan niurou yang gou mao niao yu tuzi laohu xiong ma niu zhu xiang
chuanghu pingguo xigua caomei yingtao ningmeng lizi taozi putao tudou baicai luobo huluo doufu baozi jiaozi
miantiao mantou dangao niunai kafei guozhi yizi zhuozi shafa diannao dianhua shouji shubiao yifu kuzi maozi wazi xiezi
weijin shoutao yusan beibao qianbi maobi benzi zidian ditu gangqin jita xiaotou erhu dizi guzi lanqiu zuqiu paiqiu
qiuchang gongyuan xuexiao yiyuan shangdian chaoshi yinhang jichang chezhan huoche feiji lunchuan qiche zixing tielu
malu dalu xiaolu shamo senlin caoyuan huanghe changji haiyang hedao shandi pingyuan taiyang yueliang xingxing
baiyun caihong leidian dafeng dayu xiaoxue chuntian xiatian qiutian dongtian zaoshang zhongwu wanshan jintian mingtian
zuotian laoshi xuesheng yisheng hushi gongren nongmin siji chushi huajia geshou pengyou jiaren erzi nver
"""
WORDS = {
    language: tuple(sorted({word for word in text.split() if 3 <= len(word) <= 7}))
    for language, text in (("en", _ENGLISH), ("zh", _PINYIN))
}
"""Words of a language, sorted."""
