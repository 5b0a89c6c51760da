/**
 * What a database gets once: the schema `arqon` with `publish` and `position`, and the tables in which the bridge
 * notes how far it is. Idempotent. Text only; `arq bridge postgres --sql` prints it.
 */

/** The schema, in SQL for PostgreSQL 14 and newer. */
export const BRIDGE_SQL =
  `-- Publish to ArqonBus in a transaction of your own: what commits is published once, in commit order for
-- each room; what is rolled back is not. Made by \`arq bridge postgres --sql\`; may run again.
create schema if not exists arqon;

-- How far the bridge is, and when that was committed; a row for each slot.
create table if not exists arqon.bridge (
  slot text primary key,
  lsn pg_lsn not null,
  at timestamptz not null default clock_timestamp()
);

-- What the bus refused for good: nothing is left out silently.
create table if not exists arqon.refused (
  lsn pg_lsn not null,
  number int not null,
  room text not null,
  type text not null,
  data jsonb,
  message_id text not null,
  reason text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (lsn, number)
);

-- Publishes with this transaction, if it commits. A bad room fails it with the bus's reason.
create or replace function arqon.publish(
  room text, type text, data jsonb default 'null', message_id text default null
) returns void language plpgsql as $$
begin
  if room is null or room !~ '^[A-Za-z0-9_~:=-]{1,64}$' then
    raise exception 'invalid-room: expected 1 to 64 of [A-Za-z0-9_~:=-], not %', coalesce(room, 'null')
      using errcode = 'invalid_parameter_value';
  end if;
  if type is null or octet_length(type) not between 1 and 256 then
    raise exception 'invalid-field: type: expected 1 to 256 bytes'
      using errcode = 'invalid_parameter_value';
  end if;
  if message_id is not null and octet_length(message_id) not between 1 and 256 then
    raise exception 'invalid-field: message_id: expected 1 to 256 bytes'
      using errcode = 'invalid_parameter_value';
  end if;
  if octet_length(data::text) > 200000 then
    raise exception 'too-large: data has % bytes; at most 200000', octet_length(data::text)
      using errcode = 'program_limit_exceeded';
  end if;
  perform pg_logical_emit_message(true, 'arqon', json_build_object(
    -- As text: a reader of JSON may round a number that is longer than its own.
    'room', room, 'type', type, 'json', coalesce(data, 'null')::text, 'message_id', message_id)::text);
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
