"""Tables of picks as messages, read again."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')

from std_msgs.msg import Header

from insegan_ros.errors import InputError
from insegan_ros.nodes.pick_messages import ROW, table_message, table_rows


def test_a_table_is_read_as_it_was_written():
    rows = np.zeros(3, ROW)
    rows['x'], rows['label'] = [0.1, 0.2, 0.3], [7, 4, 1]
    message = table_message(rows, Header(frame_id='base'))
    assert message.header.frame_id == 'base' and message.row_step == len(message.data) == 3 * 64
    again = table_rows(message)
    # Of another machine, whose bytes are turned.
    swapped = table_message(rows, Header())
    swapped.is_bigendian, swapped.data = True, rows.astype(ROW.newbyteorder('>')).tobytes()
    assert (table_rows(swapped) == rows).all()
    assert again.dtype.names == ROW.names and (again == rows).all()
    assert len(table_rows(table_message(rows[:0], Header()))) == 0


def test_a_table_that_is_cut_short_is_one_line():
    message = table_message(np.zeros(3, ROW), Header())
    message.width = 4
    with pytest.raises(InputError, match='a table of 4 rows cannot be read'):
        table_rows(message)
    message = table_message(np.zeros(3, ROW), Header())
    message.fields[2].datatype = 8
    with pytest.raises(InputError, match='expected fields of four bytes'):
        table_rows(message)
