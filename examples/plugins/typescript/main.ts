import { plugin } from "./blocks";

plugin.serve();
