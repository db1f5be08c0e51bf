import unittest

import patchbay
from main import count_down, plugin, shout, title


class Blocks(unittest.TestCase):
    def test_examples(self):
        for block in plugin.blocks.values():
            for given, expected in block.examples:
                self.assertEqual(plugin.try_run(block, given), expected)

    def test_goes_on_after_what_an_earlier_attempt_has_put_out(self):
        recorded = [{"pin": "number", "value": b"3.0"}]
        self.assertEqual(repr(plugin.try_run(count_down, {"from": 3, "pause": 0}, recorded=recorded)), "{'number': [3.0, 2, 1]}")

    def test_says_that_a_page_cannot_be_had_without_a_server(self):
        with self.assertRaises(patchbay.Error):
            plugin.try_run(title, {"url": "http://example.com"})

    def test_takes_once_for_granted(self):
        self.assertEqual(plugin.try_run(shout, {"text": "hey"}), {"shouted": ["HEY!"]})

    def test_members_are_the_bytes_that_were_sent(self):
        start = patchbay.message("Start")(run=1, input=b' { "a" : 1e400 , "b\\"":{"x":[1,"}"]},"c":""}')
        self.assertEqual(patchbay.Run(start, None).members(), {"a": b"1e400", 'b"': b'{"x":[1,"}"]}', "c": b'""'})
