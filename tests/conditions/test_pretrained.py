"""Pretrained encoders, against transformers itself on small ones made here."""

import pytest
import torch
import transformers

from fromnoise.conditions.text import Pretrained, encoder_of
from fromnoise.errors import Problem, Usage

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "blue", "circle", "square", "left", "of"]
SMALL = {"vocab_size": len(WORDS), "num_hidden_layers": 2}
KINDS = {
    "bert": lambda: transformers.BertModel(
        transformers.BertConfig(
            **SMALL, hidden_size=32, num_attention_heads=2, intermediate_size=64, max_position_embeddings=16, pad_token_id=0
        )
    ),
    "clip": lambda: transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={**SMALL, "hidden_size": 48, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 12,
                         "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0},
            vision_config={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 16},
        )
    ),
    "t5": lambda: transformers.T5Model(transformers.T5Config(vocab_size=len(WORDS), d_model=40, d_kv=8, d_ff=64, num_layers=2, num_heads=2)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))


def made(kind: str, folder) -> str:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(0)
    KINDS[kind]().save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", eos_token="[SEP]").save_pretrained(folder)
    return str(folder)


def test_texts_are_read_on_the_device_of_the_model(tmp_path, monkeypatch):
    moved = []
    monkeypatch.setattr(transformers.PreTrainedModel, "to", lambda self, device: moved.append(device) or self)
    encoder_of(made("bert", tmp_path / "bert")).to("meta")(["a red circle"])
    assert moved == [torch.device("meta")]


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_transformers(kind, tmp_path):
    folder, texts = made(kind, tmp_path / kind), ["a red circle", "", "a blue square left of a red circle"]
    found = encoder_of(folder)
    tokens, mask = found(texts)
    whole = transformers.AutoModel.from_pretrained(folder).eval()
    network = whole.text_model if kind == "clip" else whole.encoder if kind == "t5" else whole
    for i, text in enumerate(texts):
        ids = torch.tensor([[2, *(WORDS.index(word) for word in text.split()), 3]])
        with torch.no_grad():
            exact = network(input_ids=ids).last_hidden_state[0]
        n = int(mask[i].sum())
        assert n == ids.shape[1] and torch.allclose(tokens[i, :n], exact, atol=5e-3, rtol=5e-3)  # kept in half precision
        assert not tokens[i, n:].any()
    assert not list(found.parameters())  # nothing to train, nothing to save


def test_texts_are_read_once(tmp_path, monkeypatch):
    folder, texts = made("bert", tmp_path / "bert"), ["a red circle", "a blue square", "a red circle"]
    first = Pretrained(folder)
    first.prepare(texts)
    again = Pretrained(folder)
    monkeypatch.setattr(Pretrained, "_read", lambda *_: pytest.fail("it was read before"))
    assert all(torch.equal(a, b) for a, b in zip(again(texts), first(texts), strict=True))
    with pytest.raises(pytest.fail.Exception):
        again(["of"])


def test_other_weights_are_another_encoder(tmp_path):
    a, b = Pretrained(made("bert", tmp_path / "a")), Pretrained(made("t5", tmp_path / "b"))
    assert a._store.path != b._store.path
    assert Pretrained(str(tmp_path / "a"), length=4)._store.path != a._store.path


def test_a_long_caption_is_cut_and_that_is_said(tmp_path, capsys):
    found = Pretrained(made("bert", tmp_path / "bert"), length=5)
    tokens, mask = found(["a red circle left of a blue square"])
    assert tokens.shape == (1, 5, 32) and mask.all()
    assert "is 10 tokens long; the encoder takes 5, so its end is cut" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "says"), [("./nowhere", "there is no folder"), ("/no/such/folder", "there is no folder")])
def test_an_encoder_that_is_not_there(name, says):
    with pytest.raises(Problem, match=says):
        Pretrained(name)


def test_an_encoder_that_cannot_be_downloaded(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Problem, match="cannot be loaded or downloaded .* or use encoder: words"):
        Pretrained("somebody/no-such-encoder")


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(Problem, match="cannot be loaded"):
        Pretrained(str(tmp_path))


def test_a_length_that_the_encoder_has_not(tmp_path):
    with pytest.raises(Usage, match="takes 2 to 16 tokens, not 99"):
        Pretrained(made("bert", tmp_path / "bert"), length=99)
