import unittest

import websocket_frames


class Frames(unittest.TestCase):
    def test_accept_is_that_of_the_standard(self):
        """RFC 6455, section 1.3."""
        self.assertEqual(websocket_frames.accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

    def test_masked_frame_is_that_of_the_standard(self):
        """RFC 6455, section 5.7, but binary."""
        expected = bytes([0x82, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58])
        self.assertEqual(websocket_frames.masked_frame(b"Hello", b"\x37\xfa\x21\x3d"), expected)

    def test_masking_twice_gives_the_payload(self):
        payload, mask = bytes(range(64)), b"\x00\x01\xfe\xff"
        self.assertEqual(websocket_frames.masked(websocket_frames.masked(payload, mask), mask), payload)
