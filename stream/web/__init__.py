"""What people look at: the ward as a board, and its picture in a terminal."""
