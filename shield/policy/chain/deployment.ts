/** Bodies of the admin API's requests about policies, as schemas. `admin_body.ts` parses them. */
import { isId } from "@arqon/proto";
import { z } from "zod";
import { Binding } from "./chain.ts";

const id = z.string().refine(isId, { error: "expected 1 to 64 of [A-Za-z0-9_~:=-]" })
  .meta({ pattern: "^[A-Za-z0-9_~:=-]{1,64}$" });

/** The body of `POST /v1/policies/deploy`. */
export const Deployment = z.strictObject({
  tenant: id,
  name: Binding.shape.name,
  sha256: Binding.shape.sha256,
  room: Binding.shape.room.default("*"),
  /** The hooks to bind; absent: every hook that the module has. */
  hooks: Binding.shape.hooks.optional(),
  order: Binding.shape.order.default(0),
  mode: Binding.shape.mode.default("enforce"),
  percent: Binding.shape.percent.default(1),
});

/** The body of `POST /v1/policies/rollback`. */
export const Rollback = z.strictObject({
  tenant: id,
  /** The version to roll back to; absent: the one before the current. */
  version: z.int().min(0).optional(),
});

/** The body of `POST /v1/policies/reset`. */
export const Reset = z.strictObject({ tenant: id });
