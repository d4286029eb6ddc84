"""Exercises and quizzes of chapter 00, Start here."""

import math

import torch
import torch.nn.functional as F

from course_utils.exercises.combining import alone
from course_utils.exercises.engine import Case, Choice, Exercise, Misconception, Question

# --- 00.1 -----------------------------------------------------------------------------------------------------------

def centre_over_time(batch):
    """Give every sequence and feature mean 0 over time.

    batch: (B, T, C). Returns (B, T, C): from each sequence its own mean over time is subtracted.
    """
    return batch - batch.mean(dim=1, keepdim=True)   # (B, T, C) - (B, 1, C) -> (B, T, C)


def _batch(*sizes):
    """Sequences whose means differ by sequence, time and feature."""
    def make():
        return (3 + torch.randn(sizes) + 5 * torch.randn(sizes[0], 1, 1) + 4 * torch.randn(1, 1, sizes[2]),)
    return make


CENTRE_OVER_TIME = Exercise(
    id="00.1",
    title="Centre each sequence over time",
    about=("tensor-shapes", "broadcasting"),
    reference=centre_over_time,
    returns="(B, T, C)",
    hints=(
        "Which axis of (B, T, C) is time? The mean over it has one number for each sequence and feature.",
        "Without the time axis the mean is (B, C), and broadcasting lines up the last axes first: (B, C) would be read "
        "as (T, C). keepdim=True leaves a 1 where time was.",
    ),
    cases=(
        Case("three different sizes", _batch(2, 5, 3)),
        Case("as many sequences as time steps", _batch(4, 4, 3), "Here a lost axis raises no error."),
        Case("a single sequence", _batch(1, 6, 2)),
    ),
    misconceptions=alone(
        (lambda batch: batch - batch.mean(dim=1),
         "You lost the time axis: the mean is (B, C), and broadcasting reads it as (T, C). That fails, or, where B = "
         "T, silently subtracts the mean of another sequence. keepdim=True keeps the axis."),
        (lambda batch: batch - batch.mean(dim=0, keepdim=True),
         "Your mean runs over the batch (axis 0): it mixes different sequences at one time step. Time is axis 1."),
        (lambda batch: batch - batch.mean(dim=-1, keepdim=True),
         "Your mean runs over the features (axis 2), at each time step alone. Time is axis 1."),
        (lambda batch: batch - batch.mean(),
         "You subtract one number, the mean of everything. Each sequence and feature has its own mean."),
        (lambda batch: batch - batch.mean(dim=(1, 2), keepdim=True),
         "Your mean runs over time and features together, so all features of a sequence share it. Each has its own."),
        (lambda batch: batch.mean(dim=1, keepdim=True) - batch,
         "Your subtraction is turned round: take the mean from the batch, not the batch from the mean."),
        (lambda batch: batch - batch.sum(dim=1, keepdim=True),
         "You subtract the sum over time. The mean is the sum divided by the number of time steps."),
        (lambda batch: batch - batch.mean(dim=(0, 1), keepdim=True),
         "Your mean runs over batch and time together, so all sequences share it. Each sequence has its own."),
        (lambda batch: batch.mean(dim=1, keepdim=True),
         "You return the mean itself. It is to be subtracted from the batch."),
        (lambda batch: (batch - batch.mean(1, keepdim=True)) / batch.std(1, keepdim=True),
         "You also divide by the spread. Only the mean is to go."),
    ),
)

# --- 00.2 -----------------------------------------------------------------------------------------------------------

def one_hot_lookup(ids, table):
    """Look up embeddings by a matrix product.

    ids: (B, T) integers; table: (V, C), one row per token id.
    Returns (B, T, C): each id as a one-hot vector of length V, times the table.
    """
    one_hot = F.one_hot(ids, num_classes=table.shape[0])     # (B, T, V)
    return one_hot.to(table.dtype) @ table                   # (B, T, V) @ (V, C) -> (B, T, C)


def _ids_up_to(largest, sizes=(2, 5), table=(7, 3)):
    def make():
        ids = torch.randint(0, largest, sizes)
        ids[-1, -2] = largest
        return ids, torch.randn(table)
    return make


ONE_HOT_LOOKUP = Exercise(
    id="00.2",
    title="An embedding is a matrix product",
    about=("tokens-and-embeddings", "one-hot"),
    reference=one_hot_lookup,
    returns="(B, T, C)",
    without=("F.embedding", "nn.Embedding", "index_select"),
    hints=(
        "A one-hot vector has a 1 at the id's place and 0 elsewhere. Times the table, every row but one is multiplied "
        "by 0. How long must the vector be?",
        "F.one_hot(ids, num_classes=…) adds the axis of length V at the end and gives integers. A matrix product wants "
        "both sides in one number type.",
        "Shapes: (B, T, V) @ (V, C) -> (B, T, C). The operator @ treats all axes but the last two as a batch.",
    ),
    cases=(
        Case("the last row of the table is used", _ids_up_to(6)),
        Case("the largest id is smaller than the last row's", _ids_up_to(4, sizes=(3, 4), table=(9, 5))),
        Case("the ids are smaller than the number of features", _ids_up_to(2)),
    ),
    misconceptions=alone(
        (lambda ids, table: F.one_hot(ids).to(table.dtype) @ table,
         "Your one-hot vectors are as long as the largest id in this batch plus one. They must be as long as the "
         "table: num_classes=table.shape[0]."),
        (lambda ids, table: F.one_hot(ids, table.shape[0]) @ table,
         "You multiply integers by floats: F.one_hot gives integers, and a matrix product wants one number type. Turn "
         "the one-hot vectors into floats first."),
        (lambda ids, table: F.one_hot(ids, table.shape[0]).to(table.dtype),
         "You return the one-hot vectors themselves. The product with the table is missing."),
        (lambda ids, table: F.one_hot(ids.flatten(), table.shape[0]).to(table.dtype) @ table,
         "You flattened batch and time into one axis and did not take them apart again."),
        (lambda ids, table: table[ids - 1], "Your rows are one too early: id 0 is the table's first row, row 0."),
        (lambda ids, table: F.one_hot(ids, table.shape[1]).to(table.dtype) @ table,
         "Your one-hot vectors have one place per feature (C). They need one per token of the vocabulary (V), "
         "table.shape[0]."),
    ),
)

# --- 00.3 -----------------------------------------------------------------------------------------------------------

def cross_entropy(logits, targets):
    """Mean cross-entropy over all positions, with the natural logarithm, without F.cross_entropy.

    logits: (B, T, V) floats, also large ones; targets: (B, T) integers, the right class of each position.
    Returns a scalar: the mean of -log p(target).
    """
    log_probabilities = logits - logits.logsumexp(dim=-1, keepdim=True)        # (B, T, V)
    chosen = log_probabilities.gather(-1, targets.unsqueeze(-1)).squeeze(-1)   # (B, T)
    return -chosen.mean()


def _logits(spread, sizes=(2, 5, 7), first_level=0.0):
    """Random logits of shape (B, T, V); first_level is added to those of the very first position."""
    def make():
        logits = spread * torch.randn(sizes)
        logits[0, 0] += first_level
        return logits, torch.randint(0, sizes[2], sizes[:2])
    return make


def _chosen(values, targets):
    return values.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def _by_exponentials(logits, targets):
    exponentials = logits.exp()
    return -_chosen((exponentials / exponentials.sum(-1, keepdim=True)).log(), targets).mean()


def _from_one_maximum(logits, targets):
    shifted = logits - logits.max()
    return -_chosen(shifted - shifted.exp().sum(-1, keepdim=True).log(), targets).mean()


def _kept_above(smallest):
    """The misconception that adds a small number to the probabilities."""
    return Misconception(
        lambda logits, targets: -_chosen((logits.softmax(-1) + smallest).log(), targets).mean(),
        f"You keep the probabilities above {smallest:.0e} before the log, so no position can cost more than "
        f"{-math.log(smallest):.1f}. log_softmax or logsumexp needs no such help.",
    )


CROSS_ENTROPY = Exercise(
    id="00.3",
    title="Cross-entropy by hand",
    about=("prediction-and-loss", "cross-entropy", "logits"),
    reference=cross_entropy,
    returns="()",
    without=("F.cross_entropy", "nn.CrossEntropyLoss", "F.nll_loss", "nn.NLLLoss"),
    hints=(
        "log softmax(z) at class k is z_k minus the logarithm of the sum of all e^z. No exponential stands alone.",
        "logits.logsumexp(dim=-1, keepdim=True) is that logarithm, also where e^z is too large for a float. Over which "
        "axis do the classes lie?",
        "gather picks one number per position: values.gather(-1, targets.unsqueeze(-1)) is (B, T, 1).",
    ),
    cases=(
        Case("logits of ordinary size", _logits(2.0)),
        Case("other sizes", _logits(1.0, sizes=(4, 3, 11))),
        Case("logits in the hundreds", _logits(300.0), "e^100 is too large for a float32: stay with logarithms."),
        Case("one position with far larger logits than the others", _logits(1.0, first_level=200.0),
             "A number added to all logits of a position does not change its loss."),
    ),
    misconceptions=(
        *alone(
            (lambda logits, targets: -_chosen(logits.log_softmax(-1), targets).sum(),
             "You sum over the positions. The mean does not depend on how many positions a batch has."),
            (lambda logits, targets: -_chosen(logits.log_softmax(1), targets).mean(),
             "Your softmax runs over time (axis 1): the probabilities of one position do not sum to 1. The classes lie "
             "on the last axis."),
            (lambda logits, targets: _chosen(logits.log_softmax(-1), targets).mean(),
             "You return the mean log probability, which is negative. The loss is its negative."),
            (_by_exponentials,
             "Your formula is right, but e^z overflows for large logits and gives NaN or infinity. Subtract "
             "logits.logsumexp instead of dividing exponentials."),
            (lambda logits, targets: -_chosen(logits - logits.exp().sum(-1, keepdim=True).log(), targets).mean(),
             "Your formula is right, but e^z overflows for large logits, and the log of its sum is infinity. "
             "logits.logsumexp computes the same without overflow."),
            (_from_one_maximum,
             "You subtract one maximum for the whole batch. Each position needs its own: max(-1, keepdim=True)."),
        ),
        *map(_kept_above, (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)),
        *alone(
            (lambda logits, targets: -_chosen(logits - logits.logsumexp(-1), targets).mean(),
             "You lost the last axis: logsumexp(-1) is (B, T), and broadcasting reads it as (T, V). keepdim=True keeps "
             "the axis with size 1."),
            (lambda logits, targets: -(F.one_hot(targets, logits.shape[-1]) * logits.log_softmax(-1)).mean(),
             "Your mean runs over the V classes too, so it is V times too small. Sum over the classes, or pick the "
             "target's, then take the mean over the positions."),
            (lambda logits, targets: -logits.log_softmax(-1).mean(),
             "You average over all classes. Only the log probability of each position's target counts."),
            (lambda logits, targets: -_chosen(logits.softmax(-1).log(), targets).mean(),
             "You take the log after the softmax: a small probability is rounded to 0, and log 0 is minus infinity. "
             "log_softmax or logsumexp computes both in one step."),
            (lambda logits, targets: -_chosen(logits.softmax(-1), targets).mean(),
             "You average the probabilities of the targets; the logarithm is missing."),
            (lambda logits, targets: F.cross_entropy(logits.softmax(-1).flatten(0, 1), targets.flatten()),
             "The softmax is taken twice: F.cross_entropy wants logits and takes the softmax itself."),
            (lambda logits, targets: F.cross_entropy(logits, targets),
             "F.cross_entropy wants the classes on axis 1, and yours lie on the last axis. Here the loss is to be "
             "written out anyway."),
            (lambda logits, targets: -_chosen(logits.log_softmax(-1), targets).mean() / torch.tensor(2.0).log(),
             "Your loss is in bits: the logarithm has base 2. The course counts in nats, with the natural logarithm."),
        ),
    ),
)

EXERCISES = [
    CENTRE_OVER_TIME, ONE_HOT_LOOKUP, CROSS_ENTROPY,
]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "00-opening": [
        Question(
            "A tensor has shape (4, 1, 3), another (5, 3). What is the shape of their sum?",
            (
                Choice("(4, 5, 3)",
                       "From the last axis backwards 3 meets 3, 1 is stretched to 5, and the 4 is "
                       "repeated.", correct=True),
                Choice("(4, 1, 3)", "The axis of size 1 does not win: it is stretched to the other one's 5."),
                Choice("(5, 3)", "The result has as many axes as the longer of the two shapes, so three."),
                Choice("There is an error", "Shapes may differ in length: missing axes count as size 1 in front."),
            ),
            about=("broadcasting",),
        ),
        Question(
            "A model gives two of its classes the logits 2 and 1. After softmax, how many times as probable as "
            "the second is the first?",
            (
                Choice("2 times", "Softmax does not divide the logits by their sum; it divides their exponentials."),
                Choice("e ≈ 2.7 times",
                       "The ratio is e² / e¹ = e. Only the difference of the logits counts.", correct=True),
                Choice("e² ≈ 7.4 times", "That would be the ratio for the logits 2 and 0: the difference counts."),
                Choice("It depends on the other classes",
                       "Other classes change both probabilities by one factor; the ratio stays."),
            ),
            about=("softmax", "logits"),
        ),
        Question(
            "A loss falls steadily on the data the model is trained on. What do you know about new data?",
            (
                Choice("The loss falls there too, only more slowly",
                       "Often, but nothing promises it: a model can learn its training data by heart."),
                Choice("The loss rises there",
                       "That happens late in some trainings. A falling training loss alone does not show it."),
                Choice("Nothing yet", "Only data kept out of the training can tell.", correct=True),
            ),
            about=("model-life-cycle",),
        ),
        Question(
            "How can a neural network read the word \"cat\"?",
            (
                Choice("It gets the bytes of the letters as one large number",
                       "Nearby numbers would then have to mean nearby words, and they do not."),
                Choice("It gets the word's place in an alphabetical list as a feature",
                       "The model would take word 200 for twice word 100. An id is a name, not an amount."),
                Choice("It needs a definition of the word",
                       "No definition is given. What a word is like is learned from where it stands."),
                Choice("An id picks a row from a table of learned numbers",
                       "The row is the word's vector, and training changes it.", correct=True),
            ),
            about=("tokens-and-embeddings",),
        ),
    ],
    "00-closing": [
        Question(
            "An embedding table has shape (1000, 64). ids has shape (8, 20). What is the shape of the embedded batch?",
            (
                Choice("(8, 20, 1000)", "That is the shape of the one-hot vectors, before the product with the table."),
                Choice("(8, 64)", "Every one of the 20 positions gets a vector; none is summed away."),
                Choice("(8, 20, 64)", "Each id is replaced by its row of 64 numbers.", correct=True),
                Choice("(160, 64)", "160 rows are looked up, but they keep the two axes of ids."),
            ),
            about=("tensor-shapes", "tokens-and-embeddings"),
        ),
        Question(
            "Why is an embedding looked up and not computed as a one-hot product?",
            (
                Choice("The results differ slightly", "They are the same numbers: all products but one are with 0."),
                Choice("The product would multiply mostly by zeros",
                       "V - 1 of V products are with 0. The lookup reads the one row that is left.", correct=True),
                Choice("A product with one-hot vectors has no gradient",
                       "It has: the gradient reaches exactly the row that was used, as in the lookup."),
            ),
            about=("one-hot", "tokens-and-embeddings"),
        ),
        Question(
            "A model that knows nothing spreads its probability evenly over 50 characters. What is its perplexity?",
            (
                Choice("50", "The cross-entropy is ln 50, and e to the power of it is 50.", correct=True),
                Choice("1/50", "That is the probability of each character. Perplexity is its inverse here."),
                Choice("ln 50 ≈ 3.9", "That is the cross-entropy in nats. Perplexity is e to the power of it."),
                Choice("It depends on the text",
                       "For even probabilities every text costs the same, ln 50 a character."),
            ),
            about=("perplexity",),
        ),
        Question(
            "batch has shape (B, T, C) with B = T. You write `batch - batch.mean(1)`. What happens?",
            (
                Choice("PyTorch raises an error", "Usually, if B and T differ. Here the shapes happen to fit."),
                Choice("Each sequence loses its own mean",
                       "For that the mean has to keep its time axis: `keepdim=True`."),
                Choice("It depends on C", "The last axis is C on both sides and always fits."),
                Choice("Sequences lose means that are not theirs",
                       "(B, C) is read as (T, C), so step t of every sequence loses the mean of sequence t. No error "
                       "warns you.", correct=True),
            ),
            about=("broadcasting", "tensor-shapes"),
        ),
        Question(
            "You add 10 to every logit of one position. What does its cross-entropy do?",
            (
                Choice("It falls by 10", "The target's logit grows by 10, but so does the logarithm of the sum."),
                Choice("It stays as it is", "Softmax sees only differences, and these did not change.", correct=True),
                Choice("It rises, as the model is too sure now",
                       "How sure the model is depends on differences between logits, not on their level."),
                Choice("It is divided by e¹⁰", "The exponentials grow by e¹⁰, all of them, so the factor cancels."),
            ),
            about=("softmax", "logits"),
        ),
        Question(
            "In the very first step of Adam, weight A has gradient 0.01 and weight B has gradient 100 (nothing "
            "else differs). Which moves further?",
            (
                Choice("Both move by about the learning rate",
                       "The first step divides the gradient by its own size, so only the learning rate is "
                       "left.", correct=True),
                Choice("B, 10,000 times as far",
                       "So it would be in plain gradient descent, where the step is the gradient times the rate."),
                Choice("A, because Adam favours small gradients", "Adam evens out sizes; it does not turn them round."),
                Choice("Neither: the averages still start from 0",
                       "They do start from 0. In this step Adam divides them by 1 - 0.9 and 1 - 0.999 to correct for "
                       "that."),
            ),
            about=("learning-rate", "gradient"),
        ),
        Question(
            "You compare three models on the test set, keep the best, and report its test score. What is wrong?",
            (
                Choice("Three models are too few to compare",
                       "With more models it gets worse: the best of many is more often lucky."),
                Choice("Nothing, no model was trained on the test set",
                       "Choosing is a way of fitting too: the winner may have won by luck on exactly this set."),
                Choice("The reported score is probably too good",
                       "The choice used the test set. Choose on a validation split and use the test set "
                       "once.", correct=True),
            ),
            about=("model-life-cycle",),
        ),
        Question(
            "A network reads a sentence into one vector, and a second network writes the translation from this vector "
            "alone. On the course's path, which step removes this bottleneck?",
            (
                Choice("LSTM and GRU, by gates",
                       "Gates help the vector to keep things for longer. It is still one vector."),
                Choice("A Transformer's positional encoding",
                       "It gives attention the order of words. The bottleneck was gone before."),
                Choice("A larger vocabulary",
                       "The size of the vocabulary has no influence on what one vector can hold."),
                Choice("Attention, by looking back",
                       "For every word it writes, the second network looks back at all states of the "
                       "first.", correct=True),
            ),
            about=("course-map",),
        ),
        Question(
            "You and a friend run the same cell, with the same seed, on two computers. The numbers differ in their "
            "last digits. What is the likeliest reason?",
            (
                Choice("One of you has an error in the code",
                       "An error rarely stops at the last digits. Right programs can differ there too."),
                Choice("The sums were added up in another order",
                       "The number of threads and the processor decide the order, and every addition is "
                       "rounded.", correct=True),
                Choice("A seed fixes only the first random number",
                       "It fixes the whole sequence that is drawn after it."),
                Choice("Training is random, whatever one fixes",
                       "On one machine, seed and threads fixed, it gives the same digits every time."),
            ),
            about=("environment-check",),
        ),
        Question(
            "A section says **Predict**, and you have no idea what will come out. What do you learn most from?",
            (
                Choice("Running the cell, then checking that its output makes sense",
                       "Afterwards nearly every output makes sense, so you would not notice what you did not know."),
                Choice("Going on, and coming back when you know more",
                       "The section is there to teach it. A wrong guess costs nothing and shows what to look at."),
                Choice("Guessing, running the cell, and explaining the difference",
                       "The difference between your guess and the output is what you have to learn "
                       "here.", correct=True),
            ),
            about=("how-to-learn-here",),
        ),
    ],
}
