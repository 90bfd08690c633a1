/* rdmaq._hot: a second module in the file of rdmaq._ext, so that both use one and the same ring. */
#include "python/hot.h"

PyTypeObject *rq_py_receiver_type;
PyObject *rq_py_dtype_name;

static int hot_exec(PyObject *module) {
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        PyErr_SetString(PyExc_ImportError,
                        "rdmaq cannot be used in a subinterpreter: its handles and its fork hooks "
                        "belong to the main one; use a process instead");
        return -1;
    }
    rq_py_dtype_name = PyUnicode_InternFromString("dtype");
    if (rq_py_dtype_name == NULL) return -1;
    PyType_Spec *specs[] = {&rq_py_batch_spec, &rq_py_sender_spec, &rq_py_receiver_spec,
                            &rq_py_iterator_spec, &rq_py_poster_spec};
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        if (type == NULL) return -1;
        int error = PyModule_AddType(module, (PyTypeObject *)type);
        if (specs[i] == &rq_py_receiver_spec)
            rq_py_receiver_type = (PyTypeObject *)type;
        else
            Py_DECREF(type);
        if (error != 0) return -1;
    }
    return 0;
}

static PyModuleDef_Slot hot_slots[] = {{Py_mod_exec, hot_exec}, {0, NULL}};

static PyModuleDef hot_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "rdmaq._hot",
    .m_doc = "The methods that a program calls once a message; see csrc/python/hot.h.",
    .m_slots = hot_slots,
};

PyMODINIT_FUNC PyInit__hot(void);

PyMODINIT_FUNC PyInit__hot(void) { return PyModuleDef_Init(&hot_module); }
