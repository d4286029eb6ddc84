"""The course's models against PyTorch's and transformers' own, on the same weights. A chapter adds its pair to PAIRS.

The Transformers read the course's own sentences: B=64, neighbours in length, about 10 English and 10 Korean tokens.
Two more tables have no such pair: what grows with length, and a GPT that writes with and without its cache.
"""

import copy
import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from bench.measuring import markdown
from course_utils import training
from course_utils.recordings import median_seconds

SIZES = (64, 128, 256)
BY_LENGTH = "by length"
WRITING = "writing"


class Pair(NamedTuple):
    """Two models with the same weights, and what is timed with either.

    act: function of a model. outputs: function of a model that returns the tensor both must agree in; None: act does.
    """

    ours: object
    theirs: object
    act: Callable
    outputs: Callable | None = None



def recurrent_step(kind):
    """Forward and backward through one recurrent layer ("RNN", "GRU", "LSTM"): B=32, T=64, C=32, H=128."""
    import torch
    from torch import nn

    from course_utils.models import recurrent

    torch.manual_seed(0)
    theirs = getattr(nn, kind)(32, 128, batch_first=True)
    ours = recurrent.Recurrent(getattr(recurrent, f"{kind}Cell"), 32, 128)
    recurrent.copy_torch_weights(ours, theirs)
    x = torch.randn(32, 64, 32)
    return Pair(ours, theirs, lambda model: step(model, x))


def attention_step(need_weights):
    """Forward and backward through causal self-attention: B=32, T=64, d_model=128, 8 heads."""
    import torch
    from torch import nn

    from course_utils.models.attention import MultiHeadAttention, causal_mask, copy_torch_attention

    torch.manual_seed(0)
    ours, theirs = MultiHeadAttention(128, 8), nn.MultiheadAttention(128, 8, batch_first=True)
    copy_torch_attention(ours, theirs)
    x, mask = torch.randn(32, 64, 128), causal_mask(64)

    def attend(model):
        if model is ours:
            return step(model, x, x, x, mask=mask, need_weights=need_weights)
        # torch's boolean masks say what is NOT allowed
        return step(model, x, x, x, attn_mask=~mask, need_weights=need_weights, average_attn_weights=False)

    return Pair(ours, theirs, attend)


def step(model, *inputs, **options):
    """One forward and backward pass; the gradients are left in the parameters."""
    model.zero_grad()
    outputs = model(*inputs, **options)
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    outputs.square().mean().backward()
    return outputs.detach()


def forward(model, *inputs, **options):
    """One pass as in use: no dropout, no gradients. torch has a faster path of its own for that."""
    import torch

    model.eval()
    with torch.no_grad():
        return model(*inputs, **options)


def block(kind, d_model, act):
    """A block of an encoder or a decoder, without dropout: B=64, S=10 with padding, T=11, 4 heads, d_ff = 4·d_model.

    kind: "Encoder" or "Decoder". act: `forward` or `step`.
    """
    import torch
    from torch import nn

    from course_utils.models import transformer
    from course_utils.models.attention import causal_mask, padding_mask

    torch.manual_seed(0)
    theirs = getattr(nn, f"Transformer{kind}Layer")(d_model, 4, 4 * d_model, 0.0, batch_first=True)
    ours = getattr(transformer, f"{kind}Block")(d_model, 4, 4 * d_model)
    transformer.copy_torch_block(ours, theirs)
    source, target = torch.randn(64, 10, d_model), torch.randn(64, 11, d_model)
    padding, causal = padding_mask(torch.randint(7, 11, (64,)), 10), causal_mask(11)
    padded, later = ~padding[:, 0, 0], ~causal                               # torch's say what is NOT allowed
    inputs, options = {
        "Encoder": ((source,), ({"mask": padding}, {"src_key_padding_mask": padded})),
        "Decoder": ((target, source), ({"mask": causal, "memory_mask": padding},
                                       {"tgt_mask": later, "memory_key_padding_mask": padded})),
    }[kind]
    real = padding[:, 0, 0] if kind == "Encoder" else slice(None)            # torch may give zeros at padding

    def run(model, act=act):
        return act(model, *inputs, **options[model is theirs])

    return Pair(ours, theirs, run, lambda model: run(model, forward)[real])


def around_torch(model, d_model, n_layers, dropout):
    """A model like this `Transformer` with `nn.Transformer` in place of its stacks, and the weights of that.

    nn.Transformer would add a layer norm behind each stack: it gets stacks without. Nested tensors are off, as they
    slow torch down at these sizes. Embeddings and output layer are copies of the model's own; its stacks get the
    weights of torch's.
    """
    import torch
    from torch import nn

    from course_utils.models.attention import causal_mask
    from course_utils.models.transformer import copy_torch_stack

    class AroundTorch(nn.Module):
        def __init__(self):
            super().__init__()
            reads, writes = (layer(d_model, 4, 4 * d_model, dropout, batch_first=True)
                             for layer in (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer))
            self.transformer = nn.Transformer(
                d_model, 4, batch_first=True,
                custom_encoder=nn.TransformerEncoder(reads, n_layers, enable_nested_tensor=False),
                custom_decoder=nn.TransformerDecoder(writes, n_layers))
            self.rest = copy.deepcopy(model)
            self.rest.encoder = self.rest.decoder = None

        def forward(self, source, lengths, decoder_input):
            padded = torch.arange(source.shape[1]) >= lengths.unsqueeze(1)
            x = self.transformer(
                self.rest.embed(source, self.rest.source_embedding),
                self.rest.embed(decoder_input, self.rest.target_embedding),
                tgt_mask=~causal_mask(decoder_input.shape[1]), src_key_padding_mask=padded,
                memory_key_padding_mask=padded)
            return self.rest.head(x)

    theirs = AroundTorch()
    copy_torch_stack(model.encoder, theirs.transformer.encoder)
    copy_torch_stack(model.decoder, theirs.transformer.decoder)
    return theirs


def sentences():
    """Six batches of the course's sentences, from short to long: (source, lengths, target) with B=64."""
    from course_utils.data.translation import translation_splits
    from course_utils.recordings.translation_rnn import encode_pairs

    pairs = translation_splits(train=384, validation=0, test=0, longer=0).train
    pairs = sorted(pairs, key=lambda pair: (len(pair.source), len(pair.target)))
    return [encode_pairs(pairs[first:first + 64]) for first in range(0, 384, 64)]


def whole(d_model, trains):
    """The whole model, 2 + 2 layers, on the course's sentences. trains: a training step with dropout 0.1, else forward.

    A training step is everything: gradients to zero, forward, loss, backward, the optimizer as the course sets it.
    """
    import torch

    from course_utils.data.translation import vocabularies
    from course_utils.data.vocabulary import PAD_ID
    from course_utils.models.transformer import Transformer

    torch.manual_seed(0)
    source_words, target_words = vocabularies()
    ours = Transformer(len(source_words), len(target_words), d_model, 4, 4 * d_model, 2, 0.1)
    theirs, batches = around_torch(ours, d_model, 2, 0.1), sentences()
    turns = {model: itertools.cycle(batches) for model in (ours, theirs)}
    optimizers = {model: torch.optim.AdamW(model.parameters(), 1e-4, fused=True) for model in turns}

    def read(model):
        source, lengths, target = next(turns[model])
        return forward(model, source, lengths, target[:, :-1])

    def train(model):
        source, lengths, target = next(turns[model])
        model.train()
        optimizers[model].zero_grad()
        logits = model(source, lengths, target[:, :-1])
        training.smoothed_cross_entropy(logits, target[:, 1:], 0.1, PAD_ID).backward()
        optimizers[model].step()

    return Pair(ours, theirs, train if trains else read, read)


def small_bert():
    """BERT with MiniLM's sizes and random weights: 16 sentences of 24 tokens, forward, the pooled state with it."""
    import torch
    from transformers import BertConfig, BertModel

    from course_utils.models.bert import BERT, BERTConfig, copy_transformers_bert

    torch.manual_seed(0)
    theirs = BertModel(BertConfig(hidden_size=384, num_attention_heads=12, intermediate_size=1536, num_hidden_layers=6))
    ours = BERT(BERTConfig(d_model=384, n_heads=12, d_ff=1536, n_layers=6))
    copy_transformers_bert(ours, theirs)
    ids = torch.randint(1000, 30522, (16, 24))

    def read(model):
        if model is theirs:
            return forward(model, ids).last_hidden_state
        hidden = forward(model, ids)
        with torch.no_grad():
            model.pool(hidden)                                               # theirs does it unasked
        return hidden

    return Pair(ours, theirs, read)


def small_vit():
    """A ViT with patches of 16, 6 layers of 192 features and random weights: 4 images of 224 × 224, forward."""
    import torch
    from transformers import ViTConfig as TheirConfig
    from transformers import ViTModel

    from course_utils.models.vit import ViT, ViTConfig, copy_transformers_vit

    torch.manual_seed(0)
    theirs = ViTModel(TheirConfig(hidden_size=192, num_attention_heads=3, intermediate_size=768, num_hidden_layers=6),
                      add_pooling_layer=False)
    ours = ViT(ViTConfig(d_model=192, n_heads=3, d_ff=768, n_layers=6))
    copy_transformers_vit(ours, theirs)
    images = torch.rand(4, 3, 224, 224)
    return Pair(ours, theirs, lambda model: states(forward(model, images)))


def small_albert():
    """ALBERT with 6 passes of one block of 384 features: 16 sentences of 24 tokens, forward."""
    import torch
    from transformers import AlbertConfig, AlbertModel

    from course_utils.models.compact import ALBERT, ALBERTConfig, copy_transformers_albert

    torch.manual_seed(0)
    sizes = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536, "num_hidden_layers": 6}
    theirs = AlbertModel(AlbertConfig(**sizes))
    ours = ALBERT(ALBERTConfig(d_model=384, n_heads=12, d_ff=1536, n_layers=6))
    copy_transformers_albert(ours, theirs)
    ids = torch.randint(1000, 30000, (16, 24))
    return Pair(ours, theirs, lambda model: states(forward(model, ids)))


def states(output):
    """The last hidden state, from a tensor or from what a model of transformers returns."""
    return getattr(output, "last_hidden_state", output)


def writers(n_new=256, n_read=64, max_length=512):
    """Two ways to write n_new tokens after n_read with one GPT, the likeliest each time: name -> function.

    4 layers, d_model 128, 4 heads, 2,000 tokens, random weights. With the cache a step reads one token, without it the
    whole text.
    """
    import torch

    from course_utils.decoding import generate
    from course_utils.models.gpt import GPT, GPTConfig

    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=2000, d_model=128, n_heads=4, n_layers=4, max_length=max_length, dropout=0.0))
    start = torch.randint(2000, (n_read,)).tolist()
    return {name: partial(generate, model, start, n_new, temperature=0, use_cache=use_cache)
            for name, use_cache in (("with", True), ("without", False))}


# name -> function that returns the Pair
PAIRS = {f"{kind} against `nn.{kind}`, forward and backward": partial(recurrent_step, kind)
         for kind in ("RNN", "GRU", "LSTM")}
PAIRS |= {f"MultiHeadAttention against `nn.MultiheadAttention`, {name}": partial(attention_step, need_weights)
          for name, need_weights in (("with weights", True), ("fused", False))}
PAIRS |= {f"{kind}Block against `nn.Transformer{kind}Layer`, d_model {size}, {name}": partial(block, kind, size, act)
          for kind in ("Encoder", "Decoder") for size in SIZES
          for name, act in (("forward", forward), ("forward and backward", step))}
PAIRS |= {f"Transformer against `nn.Transformer`, d_model {size}, {name}": partial(whole, size, trains)
          for size in SIZES for name, trains in (("forward", False), ("training step", True))}
PAIRS["BERT against transformers' `BertModel`, MiniLM's sizes, forward"] = small_bert
PAIRS["ALBERT against transformers' `AlbertModel`, 6 passes of d_model 384, forward"] = small_albert
PAIRS["ViT against transformers' `ViTModel`, 197 tokens of d_model 192, forward"] = small_vit


def measure(rounds):
    """For each pair the median milliseconds of both sides; by length, of a GRU and of a Transformer; and of a GPT that
    writes with its cache and without.

    Raises AssertionError where the results of a pair differ, and where the cache changes what is written.
    """
    import torch

    from course_utils.recordings import model_cost, sequence_cost

    training.prepare()
    results = {}
    for name, make in PAIRS.items():
        pair = make()
        outputs = pair.outputs or pair.act
        torch.testing.assert_close(outputs(pair.ours), outputs(pair.theirs), rtol=1e-5, atol=1e-5)
        sides = {"ours": partial(pair.act, pair.ours), "torch": partial(pair.act, pair.theirs)}
        results[name] = {side: round(1000 * seconds, 2) for side, seconds in median_seconds(sides, 10 * rounds).items()}
    lengths = model_cost.SETTINGS["lengths"]
    found = sequence_cost.measure(lengths, 2 * rounds + 1, make=model_cost.stacks)
    milliseconds = {name: [round(value, 2) for value in values] for name, values in found.items()}
    return {**results, BY_LENGTH: {"lengths": lengths, "milliseconds": milliseconds}, WRITING: writing(rounds)}


def writing(rounds, ways=None):
    """Median milliseconds of each of the `writers`. Raises AssertionError where they write different tokens."""
    ways = ways or writers()
    texts = [write() for write in ways.values()]
    assert all(text == texts[0] for text in texts), "the cache changes what is written"
    return {name: round(1000 * seconds, 1) for name, seconds in median_seconds(ways, rounds).items()}


def table(results):
    pairs = {name: pair for name, pair in results.items() if name not in (BY_LENGTH, WRITING)}
    rows = [[name, f"{pair['ours']:.1f} ms", f"{pair['torch']:.1f} ms", f"{pair['ours'] / pair['torch']:.2f}"]
            for name, pair in pairs.items()]
    parts = [markdown(["model", "the course's", "the other", "ratio"], rows)]
    parts += [more(results[name]) for name, more in ((BY_LENGTH, length_table), (WRITING, writing_table))
              if name in results]
    return "\n\n".join(parts)


def writing_table(milliseconds):
    """Milliseconds with the cache and without, and their ratio."""
    kept, again = milliseconds["with"], milliseconds["without"]
    return markdown(["GPT, 4 layers, d_model 128", "with its cache", "without", "ratio"],
                    [["256 new tokens after 64", f"{kept:.0f} ms", f"{again:.0f} ms", f"{kept / again:.2f}"]])


def length_table(results):
    """Milliseconds of each model at each length, and in brackets how often the first one's."""
    first, *_ = results["milliseconds"].values()
    rows = [[name, *(f"{own:.1f} ({own / other:.2f})" for own, other in zip(values, first, strict=True))]
            for name, values in results["milliseconds"].items()]
    heads = ["2 layers, d_model 64, B=8, forward and backward: ms (times the GRU's)", *map(str, results["lengths"])]
    return markdown(heads, rows)
