"""What this machine offers to rdmaq (`rdmaq info`), and what ails it (`rdmaq doctor`)."""
