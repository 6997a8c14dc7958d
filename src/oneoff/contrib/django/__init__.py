"""For ``INSTALLED_APPS``: with ``"oneoff.contrib.django"`` in it, ``manage.py oneoff …`` is ``oneoff …``."""
