// The table of operators: name in ONNX -> function(inputs, attributes) that returns a tensor, or a list of several.
// Each is entered by the file that implements it, as OPERATORS.Name = ...

export const OPERATORS = {};
