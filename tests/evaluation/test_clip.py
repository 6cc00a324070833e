"""CLIP score against transformers itself, on a small CLIP made here."""

import pytest
import torch
import transformers
from torch.nn.functional import cosine_similarity

from fromnoise.errors import Problem
from fromnoise.evaluation import Card, ClipScore, Row
from fromnoise.evaluation.score import with_clip
from tests.conditions.test_pretrained import made

CAPTIONS = ["a red circle", "a blue square left of a red circle", "of"]


def pictures(*shape: int) -> torch.Tensor:
    """Of colours that 8 bits hold exactly."""
    return torch.randint(0, 256, shape).float() / 127.5 - 1


def test_the_score_is_the_cosine_in_the_models_space(tmp_path):
    folder = made("clip", tmp_path / "clip")
    clip, x = ClipScore(folder), pictures(3, 3, 32, 32)
    whole = transformers.CLIPModel.from_pretrained(folder).eval()
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]))
    for i, text in enumerate(CAPTIONS):
        told = clip.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            words = whole.text_projection(whole.text_model(**told).pooler_output)
            seen = whole.visual_projection(whole.vision_model(((x[i : i + 1] + 1) / 2 - mean) / std).pooler_output)
        expected = 100 * cosine_similarity(words, seen).clamp(min=0)
        assert torch.allclose(clip(x, CAPTIONS)[i], expected[0], atol=1e-3)


def test_pictures_are_scaled_by_the_shorter_side_and_cut_to_the_middle(tmp_path):
    clip = ClipScore(made("clip", tmp_path / "clip"))
    whole = torch.zeros(1, 1, 32, 64)
    whole[..., 16:48] = 1
    found = clip.prepared(whole)
    assert found.shape == (1, 3, 32, 32) and torch.allclose(found, (1 - clip.mean) / clip.std, atol=1e-5)
    assert clip.prepared(pictures(2, 3, 17, 40)).shape == (2, 3, 32, 32)


def test_what_the_folder_says_of_pictures_counts(tmp_path):
    folder = made("clip", tmp_path / "clip")
    (tmp_path / "clip" / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    x = pictures(1, 3, 32, 32)
    assert torch.allclose(ClipScore(folder).prepared(x), x, atol=1e-6)


def test_the_card_says_what_real_pictures_and_random_captions_reach():
    def clip(images, captions):
        return torch.tensor([100.0 * (float(image.mean()) == float(text)) for image, text in zip(images, captions, strict=True)])

    clip.name = "stub"
    images, card = torch.ones(4, 3, 2, 2) * torch.tensor([0.0, 1, 0, 1])[:, None, None, None], Card("", "", 4, 4, "", [Row("other", 1.0)])
    found = with_clip(card, clip, images, ["0", "1", "1", "1"], (images[:2], ["0", "1"]))
    assert (found["CLIP score"].value, found["CLIP score"].floor) == (75, 100) and found.rows[1].metric == "other"
    assert found.notes == ["CLIP score by stub; real pictures with each other's captions reach 0.00"]


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_what_sees_no_pictures_is_refused(kind, tmp_path):
    with pytest.raises(Problem, match=f"is a {kind}, which does not see"):
        ClipScore(made(kind, tmp_path / kind))


def test_a_model_that_is_not_there():
    with pytest.raises(Problem, match="no folder .* with a CLIP model; .* leave --clip-model out"):
        ClipScore("./nowhere")
