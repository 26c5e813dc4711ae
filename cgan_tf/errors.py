"""The one exception that a user may cause."""


class UserError(Exception):
    """What the user can mend, in one line: the file, what was expected, what was found."""
