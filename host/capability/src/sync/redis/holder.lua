-- What whoever holds a lock is called, behind a `=`; empty: the holder has no name, or nobody holds it.
local _, _, holder = held()
return holder or ''
