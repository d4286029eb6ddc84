"""What the measurements share."""


def markdown(heads, rows):
    """A Markdown table. heads: the first row; rows: lists of texts, as long as `heads`."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


