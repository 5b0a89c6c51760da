/** Members for tests. */
import type { MemberInput } from "../types.ts";

/** A member of room `lobby` of tenant `acme`, whose user is named after the connection, unless `more` has another. */
export function memberOf(connection_id: string, more: Partial<MemberInput> = {}): MemberInput {
  return {
    tenant_id: "acme",
    room_id: "lobby",
    connection_id,
    user_id: connection_id,
    issuer: "https://id.example.com",
    meta: "",
    ...more,
  };
}
