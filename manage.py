#!/usr/bin/env python
"""Django's command line for the hub."""

import os
import sys

from django.core.management import execute_from_command_line

from crc.env import BadSetting

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crc.settings")
    try:
        execute_from_command_line(sys.argv)
    except BadSetting as problem:
        sys.exit(str(problem))
