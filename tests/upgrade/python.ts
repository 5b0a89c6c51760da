/** A Python with the SDK's dependencies, which runs the SDK of a tree in place. */
import { pythonPackages } from "../../tasks/checkout/programs.ts";

/** Its path; set `PYTHONPATH` to `sdk/python/src` of the tree. */
export async function pythonWithSdk(): Promise<string> {
  const packages = ["h11>=0.16,<1", "protobuf>=6.31.1,<8", "websockets>=15,<18"];
  return `${await pythonPackages("sdk_python", packages)}/python`;
}
