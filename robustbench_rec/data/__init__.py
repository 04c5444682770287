"""From files to a Split: readers, the catalogue of data sets, fetching, preparation."""
