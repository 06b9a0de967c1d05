"""Abbreviations, by language, whose full stop does not end a sentence. If it might, it is taken not to.

Left out: letters such as "J." and runs of them such as "z.B.", which no list is needed for, and words such as "etc."
and "Inc.", after which a capital usually begins a sentence. Written in lower case and without the full stop.
"""

import functools

ANY = "dr prof mr mrs ms st mt ft jr sr no nr vs cf vol fig figs tab al ca approx dept ed eds gen col maj capt lt sgt"

LISTED = {
    "en": """messrs mmes rev hon pres gov sen rep rt lieut cpl pvt adm cmdr brig supt det insp esq bros art arts sec ch
        chap pp ex viz esp est jan feb mar apr jun jul aug sept oct nov dec ave blvd rd hwy bldg""",
    "de": """hr hrn fr frl fam dipl ing med phil jur rer nat hc habil bzw ggf evtl vgl sog insb bes bspw zzgl abzgl inkl
        exkl bd bde hrsg hg aufl abb kap abs ziff anm abt str tel geb gest verh mind max min jan feb apr jun jul aug
        sept okt nov dez mo di mi do sa so jh jhd mio mrd std sek entspr allg ehem gem lt mag lic univ kath evang frz
        engl lat röm dt österr schweiz fa""",
    "fr": """m mm mme mmes mlle mlles me mgr pr ste sts stes av bd pl chap art p pp éd env janv févr avr juill sept oct
        nov déc tél boul""",
    "es": """sr sra sres sras srta d dña don ud uds vd vds av avda pza núm nro pág págs cap art tel ej aprox gral lic
        arq ing dra""",
    "pt": """sr sra sres sras srta d dra exmo exma av pça núm pág págs cap art tel ex aprox eng arq""",
    "it": """sig sigg dott avv ing arch geom rag on ecc art pag pagg cap tel ca sec gent egr spett prof.ssa
        dott.ssa sig.ra sig.na""",
    "nl": "dhr mevr mw drs ir mr bv nl blz enz evt incl excl ong resp tel jl zgn afb hfst",
    "sv": "bl dvs osv ev ex kap kl resp t ung förf nuv s k tel",
    "da": "bl dvs osv evt fx kap kl nr pga resp hr fru ca mht jf",
    "nb": "bl dvs osv evt kap kl nr pga resp jf mht bl.a",
    "fi": "esim ks mm ns n os par s ym yms ts nk puh",
    "pl": "np tzn tj itp ul al pl św im inż mgr hab ks pn tel tys mln mld str wg zob",
    "cs": "např tj tzv tzn resp ul nám sv ing mgr mudr judr doc č str tel tis mil kap viz",
    "sk": "napr tj tzv tzn resp ul nám sv ing mgr mudr doc č str tel tis mil kap",
    "hr": "npr tj tzv odn ul sv ing mag doc br str tel tis mil gosp gđa",
    "sl": "npr tj tzv oz ul sv ing mag doc št str tel tis g ga",
    "ro": "dl dna dnei nr str bd pag tel ex",
    "hu": "pl ún ill id ifj özv u tel kb",
    "ru": "г гг ул пл пр просп пер д стр им тов гр проф акад см ср напр тыс млн млрд руб коп рис табл гл обл р св рр",
    "uk": "м вул пл просп пров буд стор ім проф акад див напр тис млн млрд грн рис табл гл обл р св рр",
    "bg": "г гг ул пл бул стр проф акад инж напр хил млн млрд лв ст",
    "el": "κ κος κα δρ καθ αρ σελ τηλ λεωφ οδ πχ βλ",
    "tr": "dr doç yrd av müh sok cad apt tel bkz örn vb sn",
    "hi": "डॉ श्री प्रो सं",
    "bn": "ডা ড মো",
}

# Languages in which a full stop after digits makes an ordinal number: "am 3. Oktober".
ORDINAL_STOP = "de da nb nn no fi et lv is fo cs sk sl hr bs sr hu pl tr lb eu mk hsb dsb se smn"

# Languages in which many words have no vowel, so that having none does not show an abbreviation.
VOWELLESS_WORDS = "cs sk sl hr bs sr mk bg cy"


@functools.cache
def abbreviations(language: str) -> frozenset[str]:
    """The abbreviations of a language, with those that many languages share: "de" -> {"dr", "bzw", ...}."""
    return frozenset((ANY + " " + LISTED.get(SAME.get(language, language), "")).split())


SAME = {"no": "nb", "nn": "nb", "bs": "hr", "sr": "hr", "gl": "pt", "ca": "es", "be": "ru", "lb": "de", "af": "nl"}
