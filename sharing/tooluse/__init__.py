"""The poll log: what the hub has seen of each key, at almost no cost to who polls.

``recording`` notes requests around TAXII and the lists, ``tally`` adds them up, ``buffer`` holds
them until its thread has ``ledger`` write them. ``picture`` is what pages read, ``rhythm`` the
light, ``words`` the advice, ``watch`` the connection test.
"""
