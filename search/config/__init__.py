"""What was asked for, as frozen values, and how messages name things."""
