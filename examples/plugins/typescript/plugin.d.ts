// esbuild puts the text into the program.
declare module "*.proto" {
  const text: string;
  export default text;
}
