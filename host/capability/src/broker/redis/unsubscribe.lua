-- Ends a group.
begin_anyway()
return remove(space, ARGV[4]) and 1 or 0
