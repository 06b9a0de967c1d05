"""One sentence followed through a trained model, in numbers and as a page.

sentence          how it is read: pieces, merges, and the translation
trace             every intermediate array of the forward pass
vectors           embeddings and positions
heads             what each attention head seems to do
residual          the residual stream, and what each sub-layer adds
lens              the output layer read after every layer, and the path of the vectors
search_tree       beam search, step by step
cache_costs       what the cache saves
back_propagation  the loss of a reference, and the gradient that reaches each part
explanation       all of it, as a record and as JSON
tree_drawing page the tree as a drawing, and all of it as an HTML page
"""
