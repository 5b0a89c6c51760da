/** `arq reducer build`: compiles a reducer written in AssemblyScript, as `arq policy build` does a policy. */
import { compileReducer } from "../../../policies/compiler/reducer.ts";
import { REDUCER_SDK } from "../../reducers/reducer_sdk.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import { type GuestKind, policyBuild } from "../policy/policy_build.ts";
import type { Flags } from "../../program/flags.ts";

const REDUCER: GuestKind = {
  noun: "reducer",
  sdk: REDUCER_SDK,
  sdk_folder: "@arqon/reducer/",
  compile: compileReducer,
};

/** Compiles a reducer and writes the module. Returns 1 and writes nothing when it does not compile. */
export const reducerBuild = (io: Io, entry: string, flags: Flags): Promise<Ended> =>
  policyBuild(io, entry, flags, REDUCER);
