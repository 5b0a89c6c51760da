/**
 * The data of events on mapped subjects as filters see it, and what a filter may ask of it. Whether an event is
 * what its schema says is the gate's matter (`gate.ts`); what a filter is, is `shared/filter/`.
 */
import { ArqonError } from "@arqon/proto";
import type { ReadMapped } from "../../shared/filter/message_view.ts";
import { fieldProblem } from "./validation/typed_fields.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import type { SchemaGate } from "./gate.ts";

/** The gate as filters ask it. */
export type SchemaLookup = Pick<SchemaGate, "isEmpty" | "schemaOf">;

/** Reads the data of a room's events; undefined: no subject is mapped. */
export function mappedReader(
  schemas: SchemaLookup | undefined,
  tenant_id: string,
  room_id: string,
): ReadMapped | undefined {
  if (schemas === undefined || schemas.isEmpty) return undefined;
  return ({ content_type, data }) => {
    const schema = schemas.schemaOf(roomSubject("in", tenant_id, room_id), tenant_id);
    if (schema === "none") return undefined;
    if (schema === "missing") throw new Error("the schema is not there");
    return schema.read(content_type, data);
  };
}

/** Throws `invalid-filter` where the room's events have a schema that lacks a field which the filter names. */
export function requireFields(
  schemas: SchemaLookup,
  tenant_id: string,
  room_id: string,
  text: string,
): void {
  if (text === "" || schemas.isEmpty) return;
  const schema = schemas.schemaOf(roomSubject("in", tenant_id, room_id), tenant_id);
  if (typeof schema === "string") return;
  const problem = fieldProblem(text, schema.desc);
  if (problem !== undefined) throw new ArqonError("invalid-filter", problem);
}
