"""Text columns: words, or characters of scripts without blanks; words that the vocabulary lacks."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.containers import Table
from pipeline.errors import ConfigError
from pipeline.layers import text
from pipeline.models.tabular import Tabular
from pipeline.spec import DataSpec, Feature, class_label
from pipeline.training.unknown_words import unknown_words

JAPANESE = ["今日は天気がいいですね", "この映画はとても面白かった", "電車が遅れて困りました", "新しい料理を作ってみた"]
CHINESE = ["这家餐厅的菜非常好吃", "快递太慢了包装也坏了", "手机电池很耐用", "客服态度很差"]
THAI = ["อาหารอร่อยมากบริการดี", "ห้องพักไม่สะอาดเลย", "สินค้าส่งช้ามากผิดหวัง"]
KOREAN = ["오늘 날씨가 정말 좋네요", "이 영화는 너무 재미있었어요"]
ENGLISH = ["The food was very good", "delivery was slow, and the parcel broken"]
TOKENIZED = ["这 家 餐厅 的 菜 非常 好吃", "快递 太 慢 了"]
SPEC = DataSpec({"note": Feature((1,), "string", text=True)}, {"y": class_label(range(2))})


@pytest.mark.parametrize("texts", [JAPANESE, CHINESE, THAI, [*JAPANESE, *ENGLISH]])
def test_texts_without_blanks_between_words_are_recognized(texts):
    assert text.lacks_blanks(texts)


@pytest.mark.parametrize(
    "texts", [KOREAN, ENGLISH, TOKENIZED, ["größere Straße", "Schöne Grüße aus Köln"], ["", "!?"], [*ENGLISH, "寿司"]]
)
def test_texts_with_blanks_between_words_are_not_split_into_characters(texts):
    assert not text.lacks_blanks(texts)


def batches(texts):
    return tf.data.Dataset.from_tensor_slices(np.array(texts, object)[:, None].astype(str)).batch(2)


def model(texts, options):
    return options.build(SPEC, lambda name: batches(texts))


def table(texts):
    return Table({"note": np.array(texts, object)[:, None]}, {"y": np.arange(len(texts)) % 2}, str)


def shares(options, **texts):
    built = model(texts["train"], options)
    (found,) = unknown_words(built, SPEC, {name: table(values) for name, values in texts.items()})
    return found


def test_japanese_is_split_into_characters_and_their_pairs():
    layer = text.vectorization("note", batches(JAPANESE), vocabulary=500, split=text.AUTO)
    assert {"天", "気", "天 気"} <= set(layer.get_vocabulary())
    words = text.vectorization("note", batches(JAPANESE), vocabulary=500, split=text.WORDS)
    assert len(words.get_vocabulary(include_special_tokens=False)) == len(JAPANESE)


def test_unknown_words_are_counted_for_each_split():
    found = shares(Tabular(), train=["red boat", "blue boat"], test=["red car", "Green, boat!"], validation=[""])
    assert found.shares == {"train": 0, "test": 0.5, "validation": 0}
    assert str(found) == "words of 'note' that the vocabulary lacks: 0.0% in train, 50.0% in test, 0.0% in validation"


def test_a_small_vocabulary_lacks_words_of_training_too():
    assert shares(Tabular(vocabulary=2), train=["a a b c", "a a d e"]).shares["train"] == 0.5


def test_pairs_of_characters_do_not_count_as_unknown():
    found = shares(Tabular(), train=["天気図鑑天気図鑑", "気図天鑑気天図鑑"], test=["鑑天図気気鑑", "雨雨雨図図図"])
    assert found.unit == "characters" and found.shares == {"train": 0, "test": 0.25}


@pytest.mark.parametrize("texts", [["", ""], ["!!!", "?!"]], ids=["empty", "punctuation"])
def test_texts_without_words_are_refused_naming_the_column(texts):
    with pytest.raises(ConfigError, match="column 'note'; found none"):
        model(texts, Tabular())


def test_a_vocabulary_of_one_word_is_enough():
    outputs = np.asarray(model(["yes", ""], Tabular())(np.array([["yes"], [""], ["no"]])))
    assert np.isfinite(outputs).all()


def test_the_split_is_saved_inside_the_model(tmp_path):
    import keras

    built = model(JAPANESE, Tabular())
    built.save(tmp_path / "model.keras")
    x = np.array(JAPANESE)[:, None]
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), built(x))
