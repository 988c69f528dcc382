"""Articles, cases, contractions, elisions and agreement, in each language; and what is refused."""

from pathlib import Path

import pytest

from training.phrases_corpus import Phrases, read_fillings, read_frames, read_phrases
from training.phrases_grammar import noun_phrase, parse_noun, with_preposition


@pytest.mark.parametrize(
    ("language", "cell", "determiner", "expected"),
    [
        ("en", "apple, apples", "a", "an apple"),
        ("en", "*uniform", "a", "a uniform"),
        ("en", "*hourglass", "a", "an hourglass"),
        ("fr", "f école", "the", "l'école"),
        ("fr", "m *hamac", "the", "le hamac"),
        ("fr", "m hôtel", "this", "cet hôtel"),
        ("fr", "f adresse", "my", "mon adresse"),
        ("fr", "f clé", "my", "ma clé"),
        ("de", "n Konto", "your", "Ihr Konto"),
        ("de", "f Datei", "this", "diese Datei"),
        ("es", "f *agua", "the", "el agua"),
        ("es", "f *agua", "this", "esta agua"),
        ("es", "m pedido", "your", "su pedido"),
        ("it", "m zaino", "the", "lo zaino"),
        ("it", "m zaino", "a", "uno zaino"),
        ("it", "m schermo", "a", "uno schermo"),
        ("it", "f amaca", "a", "un'amaca"),
        ("it", "m ordine", "a", "un ordine"),
        ("it", "f e-mail", "this", "quest'e-mail"),
        ("it", "m yogurt", "the", "lo yogurt"),
        ("it", "m specchio", "my", "il mio specchio"),
        ("pt", "f senha", "the", "a senha"),
        ("pt", "m pedido", "my", "meu pedido"),
    ],
)
def test_a_noun_takes_the_article_of_its_gender_and_sound(
    language: str, cell: str, determiner: str, expected: str
) -> None:
    assert noun_phrase(parse_noun(cell, language), language, determiner) == expected


@pytest.mark.parametrize(
    ("language", "cell", "determiner", "expected"),
    [
        ("en", "box, boxes", "this", "these boxes"),
        ("fr", "m journal, journaux", "a", "des journaux"),
        ("fr", "f clé, clés", "your", "vos clés"),
        ("de", "m Ordner, Ordner", "the", "die Ordner"),
        ("es", "f *arma, armas", "the", "las armas"),
        ("it", "m specchio, specchi", "the", "gli specchi"),
        ("it", "m libro, libri", "this", "questi libri"),
        ("it", "f tazza, tazze", "my", "le mie tazze"),
        ("pt", "f mensagem, mensagens", "your", "suas mensagens"),
    ],
)
def test_a_plural_takes_the_article_of_the_plural(language: str, cell: str, determiner: str, expected: str) -> None:
    assert noun_phrase(parse_noun(cell, language), language, determiner, "pl") == expected


@pytest.mark.parametrize(
    ("cell", "determiner", "number", "case", "expected"),
    [
        ("m Schlüssel, Schlüssel", "the", "sg", "acc", "den Schlüssel"),
        ("f Datei, Dateien", "a", "sg", "dat", "einer Datei"),
        ("n Konto, Konten", "your", "sg", "dat", "Ihrem Konto"),
        ("m *Kunde, Kunden", "this", "sg", "acc", "diesen Kunden"),
        ("n Bild, Bilder, Bildes", "the", "sg", "gen", "des Bildes"),
        ("m Pass, Pässe", "the", "sg", "gen", "des Passes"),
        ("m Kommentar, Kommentare", "the", "sg", "gen", "des Kommentars"),
        ("f Seite, Seiten", "the", "sg", "gen", "der Seite"),
        ("n Bild, Bilder", "the", "pl", "dat", "den Bildern"),
        ("n Foto, Fotos", "my", "pl", "dat", "meinen Fotos"),
    ],
)
def test_german_has_its_cases(cell: str, determiner: str, number: str, case: str, expected: str) -> None:
    assert noun_phrase(parse_noun(cell, "de"), "de", determiner, number, case) == expected


@pytest.mark.parametrize(
    ("language", "preposition", "phrase", "expected"),
    [
        ("fr", "de", "le musée", "du musée"),
        ("fr", "à", "les amis", "aux amis"),
        ("fr", "de", "l'école", "de l'école"),
        ("fr", "de", "Athènes", "d'Athènes"),
        ("de", "zu", "der Bank", "zur Bank"),
        ("de", "in", "dem Museum", "im Museum"),
        ("de", "von", "meiner Mutter", "von meiner Mutter"),
        ("es", "a", "el museo", "al museo"),
        ("es", "de", "la escuela", "de la escuela"),
        ("it", "in", "l'ufficio", "nell'ufficio"),
        ("it", "di", "lo zio", "dello zio"),
        ("it", "su", "il mio tavolo", "sul mio tavolo"),
        ("it", "con", "il treno", "con il treno"),
        ("pt", "em", "a escola", "na escola"),
        ("pt", "a", "a estação", "à estação"),
        ("pt", "por", "o parque", "pelo parque"),
        ("en", "to", "the bank", "to the bank"),
    ],
)
def test_a_preposition_is_contracted_as_its_language_does(
    language: str, preposition: str, phrase: str, expected: str
) -> None:
    assert with_preposition(preposition, phrase, language) == expected


def _sentence(corpus: Phrases, frame: str, *fillings: str) -> list[str]:
    found = next(f for f in (*corpus.frames, *corpus.sealed_frames) if f.text == frame)
    return next(list(texts.values()) for names, texts in found.expand(corpus.fillings) if names == fillings)


def test_participles_agree_with_what_was_done(corpus: Phrases) -> None:
    assert _sentence(corpus, "Your [object] has been [action as object].", "invoice", "send") == [
        *("Your invoice has been sent.", "Votre facture a été envoyée.", "Ihre Rechnung wurde gesendet."),
        *("Su factura ha sido enviada.", "La sua fattura è stata inviata.", "Sua fatura foi enviada."),
    ]
    assert _sentence(corpus, "Your [object] has been [action as object].", "document", "send") == [
        *("Your document has been sent.", "Votre document a été envoyé.", "Ihr Dokument wurde gesendet."),
        *("Su documento ha sido enviado.", "Il suo documento è stato inviato.", "Seu documento foi enviado."),
    ]


def test_professions_agree_with_the_person(corpus: Phrases) -> None:
    assert _sentence(corpus, "[my person] is [job as person].", "sister", "a teacher") == [
        *("My sister is a teacher.", "Ma sœur est professeure.", "Meine Schwester ist Lehrerin."),
        *("Mi hermana es profesora.", "Mia sorella è insegnante.", "Minha irmã é professora."),
    ]


def test_places_take_their_cases_and_contractions(corpus: Phrases) -> None:
    frame = "How do I get from [the place] to [the place2]?"
    assert _sentence(corpus, frame, "museum", "post office") == [
        *("How do I get from the museum to the post office?", "Comment aller du musée à la poste ?"),
        *("Wie komme ich vom Museum zur Post?", "¿Cómo se va del museo a la oficina de correos?"),
        *("Come si va dal museo all'ufficio postale?", "Como vou do museu ao correio?"),
    ]


def test_a_noun_may_say_in_its_own_way_where_one_is(corpus: Phrases) -> None:
    texts = _sentence(corpus, "[my person] works at [the place].", "brother", "airport")
    assert texts[2] == "Mein Bruder arbeitet am Flughafen."
    texts = _sentence(corpus, "[my person] works at [the place].", "brother", "bank")
    assert texts[2:5:2] == ["Mein Bruder arbeitet in der Bank.", "Mio fratello lavora in banca."]


def test_a_preposition_before_an_article_is_elided_whatever_the_noun(corpus: Phrases) -> None:
    texts = _sentence(corpus, "[my person] needs [a item].", "brother", "hammock")
    assert texts[1] == "Mon frère a besoin d'un hamac."


def test_a_sentence_begins_with_a_capital_behind_tags_and_opening_marks(corpus: Phrases) -> None:
    texts = _sentence(corpus, "[action button] <b>[the object]</b>", "delete", "file")
    assert texts[2] == "<b>Die Datei</b> löschen"


FILLINGS = "[thing]\n" + " | ".join(["cup", "f tasse", "f Tasse", "f taza", "f tazza", "f xícara"]) + "\n"
SIX = "{0} | {0} | {0} | {0} | {0} | {0}\n"


def _frames(folder: Path, line: str) -> None:
    (folder / "words.txt").write_text(FILLINGS, encoding="utf-8")
    fillings = read_fillings(folder)
    (folder / "frames.txt").write_text(line, encoding="utf-8")
    for frame in read_frames(folder / "frames.txt", list(fillings)):
        list(frame.expand(fillings))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (SIX.format("[the cup]"), r"frames\.txt:1: \[the cup\] names no slot"),
        (SIX.format("[the thing pl]"), "'cup' has no plural in the fillings"),
        (SIX.format("[the thing loc]"), "'loc' is neither a case"),
        ("[the thing] |" + SIX.format("x")[3:], "the slots differ between languages"),
        (SIX.format("[the thing]").replace(" | [the thing]\n", "\n"), "needs 6 texts, separated by ' | ', not 5"),
    ],
)
def test_a_frame_that_cannot_be_filled_is_refused_with_its_reason(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _frames(tmp_path, line)


def test_a_noun_without_a_gender_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(FILLINGS.replace("f taza", "taza"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"words\.txt:2: 'taza' is no noun of es"):
        read_fillings(tmp_path)


def test_a_filling_that_lacks_a_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("[moment: name, on]\n" + SIX.format("a / b / c"), encoding="utf-8")
    with pytest.raises(ValueError, match="'a / b / c' needs one form or all of these: name, on"):
        read_fillings(tmp_path)


def test_a_text_that_is_only_translated_into_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("Log in | >Se connecter | >Anmelden | >A | >B | >C\n", encoding="utf-8")
    phrase = read_phrases(tmp_path / "words.txt")[0]
    assert list(phrase.directions()) == [("en", target) for target in ("fr", "de", "es", "it", "pt")]
    assert phrase.texts["fr"] == "Se connecter"
