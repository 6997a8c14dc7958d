"""The attack suite of ``oneoff audit selftest``: what is attacked, what is done to it, and what sees that."""
