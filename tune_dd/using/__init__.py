"""What a user does with a distilled set once it is made."""
