/**
 * The one-time setup of a database: the schema `arqon` with `publish` and `position`, the tables in which the bridge
 * saves its position, and the key with which `publish` signs. Idempotent. Text only; `arq bridge postgres --sql` prints
 * it.
 */

/** The schema, in SQL for PostgreSQL 14 and newer. */
export const BRIDGE_SQL =
  `-- Publish to ArqonBus in a transaction of your own: what commits is published once, in commit order for
-- each room; what is rolled back is not. Made by \`arq bridge postgres --sql\`; may run again.
create schema if not exists arqon;

-- How far the bridge is in the log of which database, and when that was committed; a row for each slot.
create table if not exists arqon.bridge (
  slot text primary key,
  source text not null,
  lsn pg_lsn not null,
  at timestamptz not null default clock_timestamp()
);

-- What the bus refused for good: nothing is left out silently. Without a room: messages that are not signed.
create table if not exists arqon.refused (
  source text not null,
  lsn pg_lsn not null,
  number int not null,
  room text,
  type text,
  data jsonb,
  message_id text,
  reason text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (source, lsn, number)
);
create index if not exists refused_unsigned on arqon.refused (at) where room is null;

-- Any role may write into the log of the database, so that publish signs: HMAC with SHA-256. Whoever can read this
-- row can publish. The pads are those of RFC 2104, since SQL has no xor of bytes.
create table if not exists arqon.key (
  is_only boolean primary key default true check (is_only),
  key bytea not null,
  inner_pad bytea not null,
  outer_pad bytea not null
);
insert into arqon.key (key, inner_pad, outer_pad)
select key, decode(string_agg(lpad(to_hex(byte # 54), 2, '0'), '' order by i), 'hex'),
  decode(string_agg(lpad(to_hex(byte # 92), 2, '0'), '' order by i), 'hex')
from (select sha512(convert_to(gen_random_uuid()::text || gen_random_uuid(), 'UTF8')) as key) as made,
  generate_series(0, 63) as i, get_byte(key, i) as byte
group by key on conflict do nothing;

-- Publishes with this transaction, if it commits. A bad room fails it with the bus's reason.
create or replace function arqon.publish(
  room text, type text, data jsonb default 'null', message_id text default null
) returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  own arqon.key;
  content bytea;
  signed bytea;
begin
  if room is null or room !~ '^[A-Za-z0-9_~:=-]{1,64}$' then
    raise exception 'invalid-room: expected 1 to 64 of [A-Za-z0-9_~:=-], not %', coalesce(room, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  if type is null or octet_length(convert_to(type, 'UTF8')) not between 1 and 256 then
    raise exception 'invalid-field: type: expected 1 to 256 bytes'
      using errcode = 'invalid_parameter_value';
  end if;
  if message_id is not null and octet_length(convert_to(message_id, 'UTF8')) not between 1 and 256 then
    raise exception 'invalid-field: message_id: expected 1 to 256 bytes'
      using errcode = 'invalid_parameter_value';
  end if;
  if octet_length(convert_to(data::text, 'UTF8')) > 200000 then
    raise exception 'too-large: data has % bytes; at most 200000', octet_length(convert_to(data::text, 'UTF8'))
      using errcode = 'program_limit_exceeded';
  end if;
  content := convert_to(json_build_object(
    -- As text: a reader of JSON may round a number that is longer than its own.
    'room', room, 'type', type, 'json', coalesce(data, 'null')::text, 'message_id', message_id)::text, 'UTF8');
  -- For this transaction alone: nobody can repeat it in another one.
  signed := convert_to(pg_current_xact_id()::xid::text || ' ', 'UTF8') || content;
  select * into strict own from arqon.key;
  perform pg_logical_emit_message(true, 'arqon', sha256(own.outer_pad || sha256(own.inner_pad || signed)) || content);
end $$;

-- Where the database is for this transaction: what it sees has been published before this position, or has a
-- transaction id that the position calls seen. Take it in the transaction (repeatable read) of your queries.
create or replace function arqon.position() returns text language sql stable as $$
  select pg_current_wal_insert_lsn() || ';' || pg_current_snapshot() || ';' ||
    floor(extract(epoch from clock_timestamp()) * 1000)
$$;

do $$ begin
  if not exists (select from pg_publication where pubname = 'arqon') then
    create publication arqon;
  end if;
end $$;
`;
