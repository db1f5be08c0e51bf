// plugin.proto as its compiler describes it; esbuild puts the bytes into the program.
declare module "*.binpb" {
  const bytes: Uint8Array;
  export default bytes;
}
