"""CKKS ciphertexts for addition only: parameters, packing, frames, the blind adder and the keyholder."""
