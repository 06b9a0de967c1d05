"""Lines are split where a sentence ends, and nowhere else. In the examples, | stands for a boundary."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from data.text.sentences import quotations, split_sentences

EXAMPLES = {
    "en": [
        "A man runs. |Two dogs bark! |Is a cat here? |Yes.",
        "Dr. Smith met Mr. J. R. Jones in Washington, D.C. last week. |They ate.",
        "It costs 3.50 dollars, i.e. less than 5. |He paid.",
        'He said "Stop! Do not move." and left. |Then he ran.',
        '"Are you here?" he asked. |"I am." |She smiled.',
        "Wait... what is that? |Well... I think so. |He slept... |A dog barked.",
        "He left in 2010. |She stayed until 5 p.m. and left.",
        "See Fig. 3 and No. 5 on p. 12 (cf. Sec. 4.2). |It helps.",
        "1. First, open the box. |2. Close it.",
        "The U.S. Army is here. |(It was late.) |She was not. |It is 5 p.m. |She ate with Apple Inc. |He did not.",
        "He works at Yahoo! in California. |See www.example.com.",
        "MR. SMITH RUNS. |HE IS LATE.",
        "Mr. and Mrs. Brown, St. Louis",
    ],
    "de": [
        "Ein Mann läuft. |Zwei Hunde bellen.",
        "Am 3. Oktober 1990 war es z. B. kalt, d. h. unter 0 Grad. |Es schneite.",
        "Herr Dr. Müller wohnt in der Bahnhofstr. 5 bzw. bei Prof. Dr. h. c. Meier. |Er liest.",
        "Kaiser Wilhelm II. Und so weiter.",
        "„Komm her! Sofort!“, rief er. |Sie kam.",
        "»Komm her! Sofort!« |Sie kam. |Er kam 1990. |Danach ging er.",
    ],
    "el": ["Τι κάνεις; |Καλά."],
    "fr": ["M. Dupont est là. |Il dort. |Est-ce vrai ? |Oui !", "Elle a dit : « Viens ! Vite ! » et partit. |Il dort."],
    "es": ["¿Qué hora es? |¡Vamos! |El Sr. García vive en la Av. Libertad."],
    "ru": ["Он живёт в г. Москва, ул. Ленина. |А. С. Пушкин жил там."],
    "zh": ["你好。|你是谁？|他说：“走吧！快点！”然后走了。|她笑了。", "好!|走吧"],
    "ja": ["猫が寝ている。|「おはよう。元気？」と彼は言った。"],
    "hi": ["यह एक घर है। |वह सो रहा है।"],
    "ar": ["هل أنت هنا؟ |نعم. |شكرا."],
}


@pytest.mark.parametrize(("language", "marked"), [(key, one) for key, many in EXAMPLES.items() for one in many])
def test_a_line_is_split_where_a_sentence_ends(language, marked):
    assert split_sentences(marked.replace("|", ""), language) == marked.split("|")


def test_a_full_stop_after_a_number_is_an_ordinal_in_some_languages_only():
    assert len(split_sentences("Er kam am 3. Oktober war es.", "de")) == 1
    assert len(split_sentences("He was number 3. October came.", "en")) == 2


def test_marks_that_do_not_match_enclose_nothing():
    assert quotations('a "(b)" (c "d') == [(2, 6)]
    assert split_sentences('6" wide. Yes. No.', "en") == ['6" wide. ', "Yes. ", "No."]


@pytest.mark.parametrize("text", [".", "(", '"', "a. ", "A. B", '"A." ', "(A.", "“”", "x"])
def test_long_lines_are_split_quickly(text):
    line = text * 10_000 + ". B"
    assert "".join(split_sentences(line, "en")) == line


@given(st.text(alphabet="aB1 .!?…\"“”„»«()。！「」\n\u00a0'", max_size=60), st.sampled_from(["", "en", "de", "zh"]))
def test_no_character_is_lost(line, language):
    assert "".join(split_sentences(line, language)) == line
