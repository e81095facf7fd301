//! A client of the REST contract, as the commands use it.
