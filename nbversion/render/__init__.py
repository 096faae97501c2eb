"""How a thing is shown: plain data in, terminal text, HTML, SVG or DOT out.

This room owns the `Card` that every visible object reduces itself to, and the four renderers. It
escapes every string that reaches it: no caller has to, and none may pass ready-made markup.

It refuses to know what a model, a run or a data set is, to read or write a file, to look at the
clock (equal cards render to equal bytes, so that a notebook under git does not churn), and to
import IPython: the ``_repr_*_`` protocol of `shown.Shown` is all that a front end needs.

::

    card    plain data                dag     reading order, cycle-safe
    plain   escaping, widths          layout  coordinates of a layered drawing
    text    card -> terminal          svg     graph -> drawing
    html    card -> notebook          dot     graph -> Graphviz source
    shown   the mixin that displays a card

Nothing is re-exported: a program that prints text does not pay for the drawing code.
"""
