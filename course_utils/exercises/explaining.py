"""Common errors of torch and Python in plain words."""

import re

from course_utils.exercises.comparing import quoted

# Pattern of the message's text -> what it means; {0}, {1} … are the pattern's groups. The first match counts.
READINGS = [
    (r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)",
     "a matrix product A @ B needs as many columns in A as rows in B; here A is ({0}, {1}) and B is ({2}, {3}). "
     "Look whether one of them wants .T, or whether the wrong matrix stands there."),
    (r"size mismatch, got input \((\d+)\), mat \((\d+)x(\d+)\), vec \((\d+)\)",
     "a matrix of {1} rows and {2} columns was multiplied by a vector of {3} numbers; columns and numbers must agree."),
    (r"batch1.* and batch2|Expected size for first two dimensions of batch2 tensor to be: \[(.*?)\] but got: \[(.*?)\]",
     "a batched product A @ B needs the same batch size in both, and as many columns in A as rows in B."),
    (r"inconsistent tensor size, expected tensor \[(\d+)\] and src \[(\d+)\]",
     "a dot product needs two vectors of one length; these have {0} and {1} numbers."),
    (r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension (\d+)",
     "two tensors are combined number by number, but along axis {2} one has {0} and the other {1}. Broadcasting lines "
     "up the last axes first and stretches only axes of size 1."),
    (r"both arguments to matmul need to be at least 1D",
     "one side of @ is a single number, without any axis. The sign * multiplies by a number; or a sum or an index has "
     "removed one axis too many."),
    (r"[Tt]he expanded size of the tensor \((\d+)\) must match the existing size \((\d+)\) at non-singleton dimension "
     r"(\d+)",
     "a tensor of {1} numbers along axis {2} is to fill {0} places. This is typical where sizes of the notebook's own "
     "variables are used: take all sizes from the .shape of the arguments."),
    (r"operands could not be broadcast together with shapes (.+)",
     "two numpy arrays are combined number by number, but their shapes {0} do not fit. Broadcasting stretches only "
     "axes of size 1."),
    (r"matmul: Input operand 1 has a mismatch in its core dimension",
     "a matrix product A @ B needs as many columns in A as rows in B. Look whether one of them wants .T."),
    (r"Expected target size \[(.*?)\], got \[(.*?)\]",
     "F.cross_entropy wants the classes on axis 1 of the logits; move the axes or flatten batch and time first."),
    (r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)",
     "an axis {2} is asked for; this tensor's axes are numbered {0} to {1}, counting from 0 or from the end with -1."),
    (r"index (-?\d+) is out of bounds for (?:dimension|axis) (\d+) with size (\d+)",
     "position {0} is asked for along axis {1}, which has {2} places. Counting starts at 0, so the last place is one "
     "less than the size."),
    (r"index out of range in self|list index out of range|tuple index out of range",
     "a position past the end is asked for. Counting starts at 0, so the last place is one less than the length."),
    (r"too many indices for (?:tensor|array)",
     "more positions stand between the brackets than the tensor has axes."),
    (r"Index tensor must have the same number of dimensions as (?:input|self)",
     "gather wants an index with as many axes as the tensor: .unsqueeze(-1) adds one of size 1 at the end."),
    (r"shape mismatch: indexing tensors could not be broadcast together with shapes (.+)",
     "the index tensors between the brackets must have one shape; these have {0}."),
    (r"Class values must be smaller than num_classes",
     "F.one_hot met an id that is too large for the number of classes it was given."),
    (r"one_hot is only applicable to index tensor",
     "F.one_hot wants integer ids: .long() makes them."),
    (r"tensors used as indices must be|arrays used as indices must be|only integer tensors of a single element|"
     r"to have one of the following scalar types: Long, Int|expected scalar type Long|index must be int64|"
     r"Expected dtype \S*int64 for index",
     "an index must be of integers, and this one is not: .long() makes one. Or two arguments changed places."),
    (r"expected m1 and m2 to have the same dtype, but got: (.+?) != (.+)|expected scalar type (\w+) but found (\w+)|"
     r"expected .* to have the same dtype",
     "two tensors of different number types meet in one product. .float(), or .to(other.dtype), makes them alike."),
    (r"mean\(\): could not infer output dtype|Input dtype must be either a floating point or complex dtype",
     "a mean of integers is not defined: turn them into floats with .float() first."),
    (r"result type Float can't be cast to the desired output type",
     "an operation in place (such as += or mul_) would store floats in a tensor of integers."),
    (r"not implemented for '(\w+)'",
     "this operation does not exist for numbers of type {0}. Did two arguments change places, or is .float() missing?"),
    (r"does not require grad and does not have a grad_fn",
     "no gradient can flow: somewhere on the way a tensor was detached, made under torch.no_grad(), or left torch."),
    (r"Can't call numpy\(\) on Tensor that requires grad",
     "numpy cannot follow gradients. Stay with torch here, or call .detach() first where no gradient is needed."),
    (r"a leaf Variable that requires grad is being used in an in-place operation",
     "an argument is changed in place (with +=, [...] = or a name that ends in _). Make a new tensor instead."),
    (r"modified by an inplace operation",
     "a tensor that the backward pass still needs was changed in place. Make a new tensor instead."),
    (r"unsupported operation: more than one element of the written-to tensor",
     "an expanded tensor is written to in place: several of its places share one number. Use .clone() first."),
    (r"einsum\(\)",
     "in an einsum each axis of a tensor has a letter, and a letter stands for the same size everywhere."),
    (r"Boolean value of Tensor with more than one value is ambiguous|truth value of an array with more than one",
     "an if, and, or or min() needs one True or False, and this tensor holds several. torch.where, torch.minimum or "
     ".any() may be meant."),
    (r"a Tensor with (\d+) elements cannot be converted to Scalar|only one element tensors can be converted|"
     r"only integer tensors of a single element can be|only (?:length-1|0-dimensional) arrays can be converted",
     "one number is needed here, and the tensor holds another number of them."),
    (r"Sizes of tensors must match except in dimension (\d+)\. Expected size (\d+) but got size (\d+)",
     "torch.cat joins along axis {0}; all other axes must agree, and one has {1} here and {2} there."),
    (r"Tensors must have same number of dimensions: got (\d+) and (\d+)",
     "torch.cat joins tensors with the same number of axes, and these have {0} and {1}. unsqueeze adds an axis; "
     "torch.stack joins along a new one."),
    (r"stack expects each tensor to be equal size",
     "torch.stack wants tensors of one shape; these differ."),
    (r"stack expects a non-empty TensorList|expected a non-empty list of Tensors",
     "the list of tensors to join is empty: the loop that fills it may never have run."),
    (r"shape '\[(.*?)\]' is invalid for input of size (\d+)|cannot reshape array of size",
     "a reshape must keep the number of elements: the sizes multiplied give the number there is."),
    (r"view size is not compatible with input tensor's size and stride",
     ".view needs the numbers in order in memory; .reshape works in any case."),
    (r"expected Tensor as element (\d+) in argument 0, but got (\w+)",
     "a list of tensors is wanted, and element {0} is of type {1}."),
    (r"slice indices must be integers|list indices must be integers or slices, not float|\(got float\)|"
     r"'float' object cannot be interpreted as an integer|must be (?:int|tuple of ints), not float|"
     r"must be tuple of ints, but found element of type float|type must be tuple of ints, ?but got float",
     "a whole number is needed here. `/` gives a float; `//` gives a whole number."),
    (r"argument '(\w+)' \(position \d+\) must be Tensor, not (\w+)",
     "this function wants a tensor as {0} and was given a {1}; the module math works on plain numbers."),
    (r"'(list|tuple)' object has no attribute '(\w+)'",
     "a {0} has no .{1}. If a tensor is meant: torch.stack makes one of a {0} of tensors, torch.tensor one of a {0} of "
     "numbers."),
    (r"can't multiply sequence by non-int",
     "a list times a number repeats the list; it does not multiply what is inside. Multiply each item, as in "
     "[item * factor for item in items], or make a tensor first."),
    (r"'Tensor' object is not callable",
     "parentheses stand behind a tensor. Some properties, such as .T and .shape, take none."),
    (r"'(?:builtin_function_or_method|method|function)' object|unsupported operand type\(s\) .*_or_method",
     "a function is used as if it were its result: the parentheses of the call are missing."),
    (r"'NoneType' object|unsupported operand type\(s\) .*NoneType",
     "something is None here: often a function without a return, or a variable that was never filled."),
    (r"unsupported operand type\(s\) .*ellipsis",
     "a placeholder `...` is still there."),
    (r"'ellipsis' object",
     "a placeholder `...` is still there."),
    (r"not enough values to unpack \(expected (\d+), got (\d+)\)|too many values to unpack \(expected (\d+)",
     "the number of names on the left differs from the number of values on the right; print the .shape."),
    (r"iteration over a 0-d tensor|iteration over a 0-d array|object is not iterable",
     "a for loop, or sum(), goes over something that is one single value."),
    (r"can't allocate memory|Unable to allocate|not enough memory",
     "a tensor would be far too large: look at the shapes that broadcasting makes."),
    (r"Can't call .* on a meta|can't convert cuda",
     "the tensor is on another device; .cpu() brings it back."),
]
BY_TYPE = {
    "RecursionError": "the function calls itself again and again, and nothing stops it.",
    "UnboundLocalError": "the function gives this name a value somewhere, but reads it before that line has run.",
    "NameError": "this name has no value here. An answer uses its own arguments and what the import cell imports.",
    "ZeroDivisionError": "something is divided by zero.",
    "MemoryError": "a value would be far too large: look at the shapes that broadcasting makes.",
    "SystemExit": "exit() or sys.exit() would end the whole notebook; return a value instead.",
    "NotImplementedError": "a part is still to be written.",
    "ModuleNotFoundError": "this module is not installed; the import cell has all that is needed.",
}


def reading(error):
    """A sentence in plain words about an exception, or "" where none is known."""
    message = message_of(error, longest=2000)
    for pattern, words in READINGS:
        match = re.search(pattern, message)
        if match:
            return words.format(*(group or "" for group in match.groups()))
    return BY_TYPE.get(type(error).__name__, "")


def message_of(error, longest=300):
    """The first line of an exception's text, safe to print. A reader's own `__str__` may itself fail."""
    try:
        lines = str(error).strip().splitlines()
    except KeyboardInterrupt:
        raise
    except BaseException:  # SystemExit too
        return ""
    return quoted(lines[0] if lines else "", "", longest)


def signature_of(error):
    """What makes two exceptions the same to the diagnosis: type and first line, which holds the shapes."""
    return type(error).__name__, message_of(error)
