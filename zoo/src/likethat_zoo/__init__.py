"""The weights of likethat's zoo, as data files beside this one; `likethat.load("zoo:digits")` reads them."""
