-- Functions that compiled rules and computed fields call where PostgreSQL's own would raise an error for some values: an
-- expression that failed at run time would fail every read of its collection. These answer NULL instead. The arithmetic
-- operators are in src/arithmetic.rs.

-- Characters of `source` from the `start`th on, counted from 1.
create function snackbase.text_substring(source text, start float8) returns text
language sql immutable strict parallel safe
return pg_catalog.substr(source, least(greatest(pg_catalog.floor(start), -2147483648), 2147483647)::int4);

-- The same, at most `length` characters; NULL for a negative length.
create function snackbase.text_substring(source text, start float8, length float8) returns text
language sql immutable strict parallel safe
return case when length >= 0 then
    pg_catalog.substr(source, least(greatest(pg_catalog.floor(start), -2147483648), 2147483647)::int4,
        least(pg_catalog.floor(length), 2147483647)::int4)
end;

-- `number` rounded to `places` decimals, half away from zero, computed in numeric: 0.285 rounds to 0.29.
create function snackbase.num_round(number float8, places float8) returns float8
language sql immutable strict parallel safe
begin atomic
    select case when pg_catalog.abs(rounded) <= 1.7976931348623157e308 then rounded::float8 end
      from (select pg_catalog.round(number::text::numeric, least(greatest(places, -400), 400)::int4)) as r(rounded);
end;

-- Midnight UTC of a date; NULL outside the years 1 to 9999.
create function snackbase.date_start(day date) returns timestamptz
language sql immutable strict parallel safe
return case when day between '0001-01-01' and '9999-12-31' then pg_catalog.timezone('UTC', day::timestamp) end;

-- An instant moved by `amount` calendar units of UTC; NULL for an unknown unit and outside the years 1 to 9999.
create function snackbase.date_add(instant timestamptz, amount float8, unit text) returns timestamptz
language sql immutable strict parallel safe
begin atomic
    select case when moved >= '0001-01-01T00:00:00Z' and moved < '10000-01-01T00:00:00Z' then moved end
      from (select case
                when pg_catalog.date_part('epoch', instant) between -62135596800 and 253402300800
                 and pg_catalog.abs(amount) <= 4e11 / u.seconds
                 and pg_catalog.date_part('epoch', instant) + amount * u.seconds between -1.5e11 and 5e11
                then pg_catalog.timezone('UTC', pg_catalog.timezone('UTC', instant) + amount * u.step) end
              from (values ('seconds', 1::float8, interval '1 second'), ('minutes', 60, interval '1 minute'),
                           ('hours', 3600, interval '1 hour'), ('days', 86400, interval '1 day'),
                           ('months', 2629746, interval '1 month'), ('years', 31556952, interval '1 year')
                   ) as u(name, seconds, step)
             where u.name = unit) as r(moved);
end;
