"""The only writer of a uv command line, what uv's errors mean, and the interpreters that it knows."""
