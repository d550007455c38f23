-- Of each topic the last position, what was removed, and what was lost.
return { redis.call('HGETALL', base .. 'last'), redis.call('HGETALL', base .. 'gone'), redis.call('HGETALL', base .. 'lost') }
